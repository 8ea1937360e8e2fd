"""Driver memory of ingest by number of files: `python -m benchmarks.ingest_memory`.

Generates the hashed listing that the driver receives from Ray's tasks (S3 keys with ETags, as with
--hash etag, and with content hashes), does with it what ingest does there, up to the written
files, and prints the peak resident size as a Markdown table. Each row is a process of its own; no
Ray runs, no image is read.
"""

import hashlib
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import pyarrow as pa

from pipelines.manifests import ingest
from pipelines.manifests.ingest import IngestOptions

ROW_COUNTS = (0, 100_000, 300_000, 1_000_000)
LIMIT_GIB = 1.5


def generate(count: int, hash_kind: str) -> Iterator[pa.Table]:
    """Tables like those of `ingest.hash_and_label`: 2,000 labelled files each."""
    for start in range(0, count, 2_000):
        numbers = range(start, min(start + 2_000, count))
        digests = [hashlib.sha256(b"%d" % n).hexdigest() for n in numbers]
        listed = pa.table(
            {
                "uri": [f"s3://a-bucket/utkface/{n // 1000:04d}/{name(n)}" for n in numbers],
                "bytes": [5_000 + n % 1_000 for n in numbers],
                "etag": [digest[:32] for digest in digests],
                "offset": pa.nulls(len(numbers), pa.int64()),
            }
        )
        hashed = ingest.hash_and_label(listed, with_hash=False)
        if hash_kind == "content":
            column = hashed.schema.get_field_index("content_hash")
            hashed = hashed.set_column(column, "content_hash", pa.array(digests))
        yield hashed


def name(number: int) -> str:
    """A name by UTKFace's convention."""
    return f"{number % 117}_{number % 2}_{number % 5}_2017{number:013d}.jpg.chip.jpg"


def measure(count: int, hash_kind: str) -> None:
    """Print files, hash, peak resident MiB and seconds as a table row."""
    parts = list(generate(count, hash_kind))
    started = time.monotonic()
    if count:
        options = IngestOptions("s3://a-bucket/utkface")
        result = ingest.assemble(parts, options)
        with tempfile.TemporaryDirectory() as folder:
            ingest.write_ingested(result, options, folder)
        if result.counts["manifest"] != count:
            raise SystemExit(f"expected {count} rows, got {result.counts}")
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {count:,} | {hash_kind} | {peak:,.0f} | {seconds:.1f} |", flush=True)


def main() -> None:
    """Measure every row count in a process of its own."""
    if len(sys.argv) == 3:
        measure(int(sys.argv[1]), sys.argv[2])
        return
    print("# Driver memory of `jobs.ingest`\n")
    print("`python -m benchmarks.ingest_memory`: the driver's part of ingest, generated listings.")
    print(f"The limit we set ourselves is {LIMIT_GIB} GiB for 1,000,000 files; 0 files show what")
    print("the imports take. Ray's own driver threads, not started here, come on top.\n")
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, pyarrow {pa.__version__}.\n")
    print("| files | --hash | peak RSS, MiB | seconds |\n|---:|---|---:|---:|", flush=True)
    for hash_kind in ("etag", "content"):
        for count in ROW_COUNTS:
            command = [sys.executable, "-m", "benchmarks.ingest_memory", str(count), hash_kind]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
