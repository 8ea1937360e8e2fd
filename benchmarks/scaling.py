"""How scoring scales with workers, and what Ray costs: `python -m benchmarks.scaling`.

Scores the same images with 1, 2, 4, … workers, as many as there are cores, and times tasks that do
nothing on the pool that scoring uses. Writes docs/benchmarks/scaling.md. Run it on a quiet machine:
the load at the start is written down with the result.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._contenders import command_line

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks" / "scaling.md"
_TASKS = 400


class Nothing:
    """A worker that commits nothing."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return what came."""
        return batch


def task_overhead_ms(workers: int) -> float:
    """Milliseconds a task of nothing takes on the pool, beyond the pool's start."""
    import ray

    ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    arrived: list[float] = []
    data = ray.data.from_items([{"shard": i} for i in range(_TASKS)], override_num_blocks=_TASKS)
    pool = ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2)
    for _ in data.map_batches(Nothing, batch_size=1, compute=pool, num_cpus=1).iter_rows():
        arrived.append(time.monotonic())
    ray.shutdown()
    return 1000 * (arrived[-1] - arrived[0]) / (len(arrived) - 1)


def images_per_s(images: str, workers: int, precision: str) -> float:
    """Rate after start-up, as run.json tells it."""
    with tempfile.TemporaryDirectory(prefix="facemill-scaling-") as folder:
        subprocess.run(
            [sys.executable, "-m", "jobs.score", "--images", images, "--output", folder,
             "--workers", str(workers), "--precision", precision],
            check=True, cwd=ROOT, capture_output=True,
        )  # fmt: skip
        return float(json.loads(Path(folder, "run.json").read_text())["images_per_s"])


def main() -> None:
    """Measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default=str(ROOT.parent / "shared" / "data" / "utkface"))
    parser.add_argument("--limit", type=int, default=6_000, help="images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    if not Path(arguments.images).is_dir():
        print(f"skipped: {arguments.images} is missing; give --images FOLDER")
        return
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    counts = [workers for workers in (1, 2, 4, 8, 16, 32) if workers <= cores]
    rates: dict[int, list[float]] = {workers: [] for workers in counts}
    with tempfile.TemporaryDirectory(prefix="facemill-faces-") as folder:
        for path in sorted(Path(arguments.images).iterdir())[: arguments.limit]:
            os.symlink(path.resolve(), Path(folder, path.name))
        for _ in range(arguments.rounds):
            for workers in counts:  # taking turns, so that other work hits all alike
                rates[workers].append(images_per_s(folder, workers, arguments.precision))
    medians = {workers: statistics.median(turns) for workers, turns in rates.items()}
    rows = "".join(
        f"| {n} | {rate:,.0f} | {min(rates[n]):,.0f}-{max(rates[n]):,.0f} "
        f"| {rate / (n * medians[1]):.2f} |\n"
        for n, rate in medians.items()
    )
    overhead = task_overhead_ms(cores)
    rows_a_shard = 512
    DOCUMENT.write_text(
        "# Scaling of scoring over workers\n\n"
        f"`{command_line()}`: {arguments.limit:,} images, {arguments.precision}, "
        f"medians of {arguments.rounds} rounds in turns.\n\n"
        f"{datetime.date.today()}, {platform.machine()}, {cores} cores, load {load:.1f} at the "
        "start.\n\n"
        "| workers | images/s | range | efficiency |\n|---:|---:|---:|---:|\n"
        f"{rows}\n"
        f"A task that does nothing takes {overhead:.1f} ms on the pool; the smallest shards have "
        f"{rows_a_shard} images, so at most {1000 * overhead / rows_a_shard:,.0f} µs an image.\n"
    )
    print(DOCUMENT.read_text())


if __name__ == "__main__":
    main()
