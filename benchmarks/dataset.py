"""Cost of laying predictions out for analysts: `python -m benchmarks.dataset [--write]`.

Generates scoring runs of 1e6 and 1e7 rows in shards of 50,000 (no images), lays each out plain and
by gender and age group with the function behind `jobs.score --compact`, and asks shards and data
set the same DuckDB question. Each layout is a process of its own.
"""

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks._contenders import ROOT
from benchmarks.aggregation import rows
from pipelines.predictions.dataset import Partitioning, describe, write_dataset
from pipelines.storage import tables

ROW_COUNTS = (1_000_000, 10_000_000)
SHARD_ROWS = 50_000
LAYOUTS = {"plain": Partitioning(), "gender, age_group": Partitioning(("gender", "age_group"))}
PAGE = ROOT / "docs" / "benchmarks" / "dataset.md"
QUESTION = "select count(*), avg(age_years) from read_parquet('{}', hive_partitioning={}) {}"
WHERE = "where gender = 'female' and age_group = '61-70'"


def generate(output: Path, count: int) -> None:
    """A finished run's predictions and run.json."""
    files = {}
    for number, first in enumerate(range(0, count, SHARD_ROWS)):
        name = f"predictions/shard-{number:05d}.parquet"
        tables.write_table(f"{output}/{name}", rows(first, SHARD_ROWS))
        files[name] = {"rows": SHARD_ROWS, "sha256": ""}
    run = {"finished_at": "2026-01-01T00:00:00Z", "bundle_id": "0123456789abcdef"}
    tables.write_json(f"{output}/run.json", {**run, "scored": count, "files": files})


def lay_out(output: str, name: str, count: int) -> None:
    """Print a table row."""
    started = time.monotonic()
    record = write_dataset(output, LAYOUTS[name])
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sizes = [file["bytes"] / 1e6 for file in record["files"].values()]
    asked = [
        _asked(f"{output}/predictions/*.parquet", False),
        _asked(f"{output}/dataset/**/*.parquet", True),
    ]
    print(
        f"| {count:,} | {count // SHARD_ROWS:,} | {name} | {describe(record)} | "
        f"{statistics.median(sizes):.1f} / {max(sizes):.1f} | {seconds:.1f} | "
        f"{count / seconds / 1e6:.2f} | {peak:,.0f} | {asked[0]:.0f} | {asked[1]:.0f} |",
        flush=True,
    )


def _asked(pattern: str, hive: bool) -> float:
    """Median milliseconds of five."""
    times: list[float] = []
    for _ in range(5):
        began = time.monotonic()
        duckdb.sql(QUESTION.format(pattern, str(hive).lower(), WHERE)).fetchall()
        times.append(1000 * (time.monotonic() - began))
    return statistics.median(times)


def main() -> None:
    """Measure every count and layout."""
    if len(sys.argv) == 4:
        lay_out(sys.argv[1], sys.argv[2], int(sys.argv[3]))
        return
    lines = [
        "# Laying predictions out for analysts\n",
        "`python -m benchmarks.dataset`: generated rows, the function behind `--compact` and",
        f"`--partition-by` of jobs.score. The question is a count and a mean `{WHERE}`,",
        "in DuckDB, warm, median of five.\n",
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, load at the start {os.getloadavg()[0]:.1f}.\n",
        "| rows | shards | layout | becomes | MB a file, median / most | seconds | million rows/s |"
        " peak RSS, MiB | question to the shards, ms | to the data set, ms |",
        "|---:|---:|---|---|---|---:|---:|---:|---:|---:|",
    ]
    print("\n".join(lines), flush=True)
    for count in ROW_COUNTS:
        with tempfile.TemporaryDirectory(prefix="facemill-dataset-") as folder:
            generate(Path(folder), count)
            for name in LAYOUTS:
                command = [sys.executable, "-m", "benchmarks.dataset", folder, name, str(count)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                lines.append(done.stdout.strip().splitlines()[-1])
                print(lines[-1], flush=True)
    if "--write" in sys.argv:
        PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
