"""Driver memory of freezing a listing: `python -m benchmarks.freezing`.

Generates the tables that listing yields (S3 keys with ETags), freezes them into manifest shards as
`jobs.score` does, and reads the run back as planning does; prints peak memory by number of inputs.
Each row is a process of its own; no Ray runs, no image is read.
"""

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipelines.predictions import frozen_inputs

COUNTS = (0, 20_000, 200_000, 1_000_000, 10_000_000)
_TABLE_ROWS = 10_000


def generate(count: int) -> Iterator[pa.Table]:
    """Tables like those of `sources.images.list_entries`."""
    for start in range(0, count, _TABLE_ROWS):
        numbers = range(start, min(start + _TABLE_ROWS, count))
        yield pa.table(
            {
                "uri": [f"s3://a-bucket/faces/{n // 1000:05d}/{n:012d}.jpg" for n in numbers],
                "bytes": np.arange(len(numbers)) + 5_000,
                "etag": [f"{n * 2654435761 % 2**128:032x}" for n in numbers],
            }
        )


def measure(count: int) -> None:
    """Print inputs, shards, MiB on disk, peak resident MiB and seconds as a table row."""
    started = time.monotonic()
    shards = size = 0
    if count:
        with tempfile.TemporaryDirectory(prefix="facemill-freeze-") as folder:
            frozen_inputs.freeze(folder, generate(count))
            frozen = frozen_inputs.load_frozen(folder)
            if frozen is None or frozen.total != count:
                raise SystemExit(f"expected {count} inputs")
            shards = len(frozen.rows)
            with os.scandir(os.path.join(folder, "inputs")) as files:
                size = sum(file.stat().st_size for file in files)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"| {count:,} | {shards:,} | {size / 2**20:,.0f} | {peak:,.0f} | {seconds:.1f} |",
        flush=True,
    )


def main() -> None:
    """Measure every count in a process of its own."""
    if len(sys.argv) == 2:
        measure(int(sys.argv[1]))
        return
    print("# Driver memory of `jobs.score`\n")
    print(
        "`python -m benchmarks.freezing`: generated listings, frozen into shards on a local disk.\n"
    )
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, pyarrow {pa.__version__}.\n")
    print("| inputs | shards | MiB of shards | peak RSS, MiB | seconds |")
    print("|---:|---:|---:|---:|---:|", flush=True)
    for count in COUNTS:
        subprocess.run([sys.executable, "-m", "benchmarks.freezing", str(count)], check=True)


if __name__ == "__main__":
    main()
