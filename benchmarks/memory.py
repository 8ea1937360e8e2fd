"""Peak memory by number of rows: `python -m benchmarks.memory`.

Each row of the tables is a process of its own, which imports what it measures and no more. Writes
docs/benchmarks/memory.md. `--full` needs 2 GB of disk, and for `run` half an hour.

    freezing  jobs.score's driver: a generated listing, frozen into shards and read back
    ingest    jobs.ingest's driver: a generated listing with hashes, up to the written files
    summary   jobs.report: generated predictions, summarised
    run       jobs.score for real, with an untrained network: driver, workers, Ray's own processes
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import harness

GROUP_ROWS = 1_000_000
# Counts of rows at a small size, and as documented.
COUNTS = {
    "freezing": ((0, 20_000), (0, 20_000, 200_000, 1_000_000, 10_000_000)),
    "ingest": ((0, 20_000), (0, 100_000, 300_000, 1_000_000)),
    "summary": ((100_000,), (1_000_000, 10_000_000, 100_000_000)),
    "run": ((400,), (20_000, 200_000, 1_000_000)),
}


def listing(count: int, table_rows: int) -> Iterator[pa.Table]:
    """A generated listing of S3 keys with ETags, named by UTKFace's convention."""
    for start in range(0, count, table_rows):
        numbers = range(start, min(start + table_rows, count))
        names = [f"{n % 117}_{n % 2}_{n % 5}_2017{n:013d}.jpg.chip.jpg" for n in numbers]
        yield pa.table(
            {
                "uri": [
                    f"s3://a-bucket/utkface/{n // 1000:05d}/{names[n - start]}" for n in numbers
                ],
                "bytes": [5_000 + n % 1_000 for n in numbers],
                "etag": [hashlib.sha256(b"%d" % n).hexdigest()[:32] for n in numbers],
                "offset": pa.nulls(len(numbers), pa.int64()),
            }
        )


def freezing(count: int, folder: Path) -> int:
    """Freeze a listing as jobs.score does, and read it back; returns its rows."""
    from pipelines.predictions import frozen_inputs

    if not count:
        return 0
    tables = (table.drop_columns("offset") for table in listing(count, 10_000))
    frozen_inputs.freeze(str(folder), tables)
    frozen = frozen_inputs.load_frozen(str(folder))
    return frozen.total if frozen else 0


def ingesting(count: int, folder: Path) -> int:
    """Do what ingest's driver does beside reading, which is for Ray's tasks; returns the rows."""
    from pipelines.manifests import ingest
    from pipelines.manifests.options import IngestOptions

    if not count:
        return 0
    options = IngestOptions("s3://a-bucket/utkface", hash="etag")
    result = ingest.assemble(ingest.named(listing(count, 10_000), by_name=True), options)
    ingest.write_ingested(result, options, str(folder))
    return result.counts["manifest"]


def predictions(count: int, folder: Path) -> int:
    """Generate predictions, for `summarise`."""
    from pipelines.predictions.schemas import PREDICTIONS_SCHEMA
    from tests.predictions import random_predictions

    with pq.ParquetWriter(folder / "part.parquet", PREDICTIONS_SCHEMA, compression="zstd") as file:
        for first in range(0, count, GROUP_ROWS):
            rows = min(GROUP_ROWS, count - first)
            uris = [f"s3://faces/{n // 10_000:06d}/{n}.jpg" for n in range(first, first + rows)]
            file.write_table(random_predictions(first, rows, uri=uris))
    return count


def summarise(_: int, folder: Path) -> int:
    """Summarise the predictions of a folder, as jobs.report does; returns the rows."""
    from pipelines.predictions import prediction_files
    from pipelines.reporting import summary

    return summary.summarise(prediction_files.find_predictions(str(folder))).rows


STEPS: dict[str, Callable[[int, Path], int]] = {
    "freezing": freezing,
    "ingest": ingesting,
    "predictions": predictions,
    "summary": summarise,
}


def measure(step: str, count: int, folder: Path) -> None:
    """One step in this process; prints seconds and peak memory."""
    rows = list[int]()
    seconds = harness.seconds(lambda: rows.append(STEPS[step](count, folder)))
    if rows != [count]:
        raise SystemExit(f"{step}: {rows[0]:,} rows of {count:,}")
    print(json.dumps({"seconds": seconds, "mib": harness.peak_mib()}))


def alone(part: str, count: int, folder: Path) -> tuple[str, ...]:
    """A row of the table of a step."""
    if part == "summary":
        harness.run("benchmarks.memory", "--step", "predictions", count, folder)
    peak = harness.apart("benchmarks.memory", "--step", part, count, folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{count:,}", f"{size / 2**20:,.0f}", f"{peak['mib']:,.0f}", f"{peak['seconds']:.1f}"


def linked(source: Path, folder: Path, count: int) -> None:
    """`count` names for the files of `source`, 20,000 a folder."""
    files = sorted(path.resolve() for path in source.iterdir())
    for number in range(count):
        place = folder / f"{number // 20_000:04d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:07d}.jpg").symlink_to(files[number % len(files)])


def watch(root: psutil.Process, peaks: dict[str, float], stop: threading.Event) -> None:
    """Keep the largest resident memory of each kind of process, MiB, without what is shared."""
    while not stop.wait(1.0):
        sums: dict[str, list[float]] = {"driver": [], "worker": [], "ray": []}
        for process in [root, *root.children(recursive=True)]:
            try:
                name = " ".join(process.cmdline())[:200]
                size = (process.memory_info().rss - process.memory_info().shared) / 2**20
            except psutil.Error:
                continue
            kind = "driver" if process.pid == root.pid else "ray"
            sums["worker" if "ShardScorer" in name else kind].append(size)
        for kind, sizes in sums.items():
            figure = max(sizes, default=0.0) if kind == "worker" else sum(sizes)
            peaks[kind] = max(peaks.get(kind, 0.0), figure)


def scored(source: Path, count: int, folder: Path) -> tuple[str, ...]:
    """A row of the table of real runs."""
    from tests.bundles import untrained_bundle

    bundle = untrained_bundle(folder / "bundle")
    linked(harness.images(folder, source, count), folder / "listing", count)
    command = [sys.executable, "-m", "jobs.score", "--images", str(folder / "listing"),
               "--bundle", str(bundle.folder), "--output", str(folder / "out")]  # fmt: skip
    with subprocess.Popen(command, cwd=harness.ROOT, stdout=subprocess.DEVNULL) as child:
        peaks, stop = dict[str, float](), threading.Event()
        watcher = threading.Thread(target=watch, args=(psutil.Process(child.pid), peaks, stop))
        watcher.start()
        child.wait()
        stop.set()
        watcher.join()
    if child.returncode:
        raise SystemExit(f"scoring {count:,} images ended with code {child.returncode}")
    record = json.loads((folder / "out" / "run.json").read_text())
    return (f"{record['inputs']:,}", f"{record['scored']:,}", f"{record['seconds']:,.0f}",
            *(f"{peaks[kind]:,.0f}" for kind in ("driver", "worker", "ray")))  # fmt: skip


def main() -> None:
    """Measure every count of every part."""
    parser = harness.arguments(__doc__, "benchmarks/memory.md")
    parser.add_argument("--only", nargs="*", default=list(COUNTS), choices=list(COUNTS))
    parser.add_argument("--step", nargs=3, metavar=("STEP", "ROWS", "FOLDER"), help="measure here")
    given = harness.parsed(parser)
    if given.step:
        return measure(given.step[0], int(given.step[1]), Path(given.step[2]))
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    for part in given.only:
        rows = list[tuple[str, ...]]()
        for count in COUNTS[part][given.full]:
            with tempfile.TemporaryDirectory(prefix="facemill-memory-") as folder:
                row = scored(given.images, count, Path(folder)) if part == "run" else \
                    alone(part, count, Path(folder))  # fmt: skip
                rows.append(row)
                print(part, *rows[-1], sep=", ", flush=True)
        head = (
            ("inputs:", "scored:", "seconds:", "driver, MiB:", "largest worker, MiB:",
             "Ray's own processes together, MiB:")
            if part == "run"
            else ("rows:", "MiB of files:", "peak RSS, MiB:", "seconds:")
        )  # fmt: skip
        harness.write(given, harness.table(head, rows), part)


if __name__ == "__main__":
    main()
