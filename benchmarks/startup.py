"""How soon it answers: `python -m benchmarks.startup --images FOLDER --picture FILE`.

A single picture, the first image of a local run, the private memory of a worker and every job's
`--help`, beside Ray's own floor: `ray.init` and one actor of Ray Data that does nothing. All take
turns with an earlier commit (`--before FOLDER`, a checkout of it); medians. Writes
docs/benchmarks/startup.md.
"""

import argparse
import contextlib
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from benchmarks._contenders import ROOT, command_line
from model.runtime import machine

DOCUMENT = ROOT / "docs" / "benchmarks" / "startup.md"
JOBS = ("score", "train", "ingest", "evaluate", "report", "calibrate", "verify", "export", "demo")
IMAGES = 4000


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
    print(json.dumps(min(row["at"] for row in rows.iter_rows()) - started))


def _settle() -> None:
    """Let what ran before end: processes of a Ray go on for some seconds."""
    time.sleep(6)


def _seconds(command: list[str], root: Path) -> float:
    started = time.monotonic()
    subprocess.run(command, check=True, cwd=root, capture_output=True)
    return time.monotonic() - started


def _floor(_: Path) -> float:
    code = "from benchmarks.startup import floor; floor()"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True
    )
    return float(done.stdout.strip().splitlines()[-1])


def _run(root: Path, images: str) -> dict[str, float]:
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
        _settle()
        watcher.start()
        started = time.time()
        command = [sys.executable, "-m", "jobs.score", "--images", images, "--faces", "crop",
                   "--output", f"{folder}/out"]  # fmt: skip
        subprocess.run(command, check=True, cwd=root, capture_output=True)
        ended = time.time()
        done.set()
        watcher.join()
    return {"first shard of a local run is begun, s": first - started,
            "whole run, s": ended - started,
            "private memory of a worker, MB": most}  # fmt: skip


def turn(root: Path, images: str, picture: str) -> dict[str, float]:
    """All figures of one checkout, once."""
    score = [sys.executable, "-m", "jobs.score", "--images", picture]
    helps = [_seconds([sys.executable, "-m", f"jobs.{job}", "--help"], root) for job in JOBS]
    return {
        "a single picture, s": _seconds(score, root),
        **_run(root, images),
        "slowest --help of a job, s": max(helps),
    }


def main() -> None:
    """Take turns, then write the table."""
    shared = ROOT.parent / "shared" / "data"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=Path, default=shared / "utkface")
    parser.add_argument("--picture", type=Path, default=shared / "photos" / "2008_001322.jpg")
    parser.add_argument("--before", type=Path, help="checkout of an earlier commit, if any")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    if not arguments.images.is_dir() or not arguments.picture.is_file():
        print(f"skipped: {arguments.images} or {arguments.picture} is missing")
        return
    roots = {"before": arguments.before, "now": ROOT}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name, root in roots.items() if root}
    floors: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(arguments.images.iterdir())[:IMAGES]:
            os.symlink(path.resolve(), Path(folder, path.name))
        for number in range(arguments.turns):
            _settle()
            floors.append(_floor(ROOT))
            _settle()
            for name in runs:
                runs[name].append(turn(roots[name], folder, str(arguments.picture)))
                print(f"turn {number + 1} {name}: {runs[name][-1]}", flush=True)
    text = table(runs, floors)
    arguments.output.write_text(text)
    print(text)


def table(runs: dict[str, list[dict[str, float]]], floors: list[float]) -> str:
    """docs/benchmarks/startup.md."""
    now = datetime.datetime.now(datetime.UTC).date()
    names = list(runs)
    lines = [
        "# Start-up", "",
        f"`{command_line()}`, {now}, {machine()}, load at the end {os.getloadavg()[0]:.1f}; "
        f"medians of {len(floors)} turns. The run has {IMAGES:,} images.", "",
        "| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names),
    ]  # fmt: skip
    for figure in runs[names[0]][0]:
        medians = [statistics.median(turn[figure] for turn in runs[name]) for name in names]
        lines.append(f"| {figure} | " + " | ".join(f"{value:,.2f}" for value in medians) + " |")
    lines.append(
        "| Ray's floor to a first row, s | "
        + " | ".join(f"{statistics.median(floors):,.2f}" for _ in names)
        + " |"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
