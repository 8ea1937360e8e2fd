"""How soon it answers: `python -m benchmarks.startup`.

A single image, the first image of a local run, the private memory of a worker and every job's
`--help`, beside Ray's own floor: `ray.init` and one actor of Ray Data that does nothing. All take
turns with another checkout (`--before FOLDER`), if there is one; medians. Writes
docs/benchmarks/startup.md.
"""

import contextlib
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

import psutil

from benchmarks import harness

JOBS = sorted(p.stem for p in (harness.ROOT / "jobs").glob("[a-z]*.py") if p.stem != "cli")
SMALL, FULL = (200, 1), (4000, 3)  # images, turns


def floor() -> None:
    """Print the seconds from the first import to the first row of an actor that does nothing."""
    started = time.time()
    import ray
    import ray.data

    class Nothing:
        def __call__(self, batch: dict[str, object]) -> dict[str, object]:
            return {"at": [time.time()]}

    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items([{"id": 0}, {"id": 1}], override_num_blocks=2).map_batches(
        Nothing, batch_size=1, compute=ray.data.ActorPoolStrategy(min_size=2, max_size=2)
    )
    print(json.dumps({"s": min(row["at"] for row in rows.iter_rows()) - started}))


def _settle() -> None:
    """Let what ran before end: processes of a Ray go on for some seconds."""
    time.sleep(6)


def local_run(root: Path, images: Path) -> dict[str, float]:
    """Seconds from the command to the first shard and to the end; a worker's private memory."""
    most, first = 0.0, 0.0
    done = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        attempts = Path(folder, "out", "attempts")  # a shard is noted there as it is begun

        def watch() -> None:
            nonlocal most, first
            while not done.wait(0.02 if not first else 0.5):
                if not first:
                    first = time.time() if attempts.is_dir() and any(attempts.iterdir()) else 0.0
                    continue
                for process in psutil.process_iter(["cmdline"]):
                    if "ShardScorer" in " ".join(process.info["cmdline"] or []):
                        with contextlib.suppress(psutil.Error):
                            most = max(most, process.memory_full_info().uss / 2**20)

        watcher = threading.Thread(target=watch)
        watcher.start()
        started = time.time()
        words = ["--images", images, "--faces", "crop", "--output", f"{folder}/out"]
        harness.run("jobs.score", *words, root=root)
        ended = time.time()
        done.set()
        watcher.join()
    return {"first shard of a local run is begun, s": first - started,
            "the run, s": ended - started,
            "private memory of a worker, MB": most}  # fmt: skip


def turn(root: Path, images: Path, image: Path) -> dict[str, float]:
    """All figures of one checkout, once."""
    _settle()
    single = harness.seconds(lambda: harness.run("jobs.score", "--images", image, root=root))
    helps = [
        harness.seconds(lambda job=job: harness.run(f"jobs.{job}", "--help", root=root))
        for job in JOBS
    ]
    _settle()
    return {
        "a single image, s": single,
        **local_run(root, images),
        "slowest --help of a job, s": max(helps),
    }


def ray_floor() -> dict[str, float]:
    """Seconds of `floor`."""
    _settle()
    return {"Ray's floor to a first row, s": harness.apart("benchmarks.startup", "--floor")["s"]}


def main() -> None:
    """Take turns, then write the table."""
    parser = harness.arguments(__doc__, "benchmarks/startup.md")
    parser.add_argument("--image", type=Path, help="a photo; default: the first of --images")
    parser.add_argument("--before", type=Path, help="another checkout, if any")
    parser.add_argument("--floor", action="store_true", help="measure Ray's floor here, once")
    given = harness.parsed(parser)
    if given.floor:
        return floor()
    count, rounds = FULL if given.full else SMALL
    roots = {"before": given.before, "now": harness.ROOT}
    with tempfile.TemporaryDirectory() as folder:
        images = harness.images(Path(folder), given.images, count)
        image = given.image or min(images.iterdir())
        contenders = {
            name: lambda root=root: turn(root, images, image)
            for name, root in roots.items()
            if root
        }
        runs = harness.turns({"floor": ray_floor, **contenders}, rounds)
    floors = runs.pop("floor")
    rows = [
        (figure, *(f"{statistics.median(one[figure] for one in taken):,.2f}"
                   for taken in (runs.values() if figure in runs["now"][0] else [floors])))
        for figure in [*runs["now"][0], *floors[0]]
    ]  # fmt: skip
    harness.write(given, [
        f"Medians of {rounds} turns. The run has {count:,} images.", "",
        *harness.table(["", *(f"{name}:" for name in runs)], rows),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
