"""Cost of summarising predictions by number of rows: `python -m benchmarks.aggregation`.

Writes 1e6, 1e7 and 1e8 generated prediction rows (PREDICTIONS_SCHEMA, no images) to a temporary
folder, summarises them with the function that jobs.report calls, and beside it with plain pandas
where that fits into 8 GiB. Each measurement is a process of its own. Needs 6 GB of disk for 1e8;
the folder is deleted. Prints a page, which `--write` also puts into docs/benchmarks/aggregation.md.
"""

import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.calibration import DEFAULT_COVERAGE
from model.labels import DECADES, GENDERS, bin_names, bin_of
from pipelines.predictions import prediction_files
from pipelines.predictions.schemas import PREDICTIONS_SCHEMA
from pipelines.reporting import summary

ROW_COUNTS = (1_000_000, 10_000_000, 100_000_000)
FILE_ROWS, GROUP_ROWS = 5_000_000, 1_000_000
PANDAS_ROWS = 10_000_000  # 1e8 rows as a pandas frame would take some 30 GB
DISK_BYTES_PER_ROW = 60
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "aggregation.md"


def generate(folder: Path, count: int) -> None:
    """Write `count` rows as files of 5,000,000."""
    for number, start in enumerate(range(0, count, FILE_ROWS)):
        path = folder / f"part-{number:05d}.parquet"
        with pq.ParquetWriter(path, PREDICTIONS_SCHEMA, compression="zstd") as writer:
            for first in range(start, min(start + FILE_ROWS, count), GROUP_ROWS):
                writer.write_table(rows(first, min(GROUP_ROWS, count - first)))


def rows(first: int, count: int) -> pa.Table:
    """Rows `first` … of a made-up scoring run; equal for equal arguments."""
    rng = np.random.default_rng(first)
    age = (rng.beta(1.6, 2.6, count) * 110).round(1).astype(np.float32)
    p_female = rng.beta(0.4, 0.4, count).round(3).astype(np.float32)
    half = (6 + age / 6).astype(np.float32)
    names = pa.array(bin_names(DECADES))
    group = pa.DictionaryArray.from_arrays(pa.array(_decades(age)), names)
    gender = pa.DictionaryArray.from_arrays(
        pa.array((p_female >= 0.5).astype(np.int8)), pa.array(GENDERS)
    )
    bundle = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(count, np.int8)), pa.array(["0123456789abcdef"])
    )
    columns = {
        "uri": [f"s3://faces/{n // 10_000:06d}/{n}.jpg" for n in range(first, first + count)],
        "age_years": age,
        "age_low_years": np.maximum(age - half, 0),
        "age_high_years": np.minimum(age + half, 116),
        "age_group": group,
        "gender": gender,
        "p_female": p_female,
        "width": rng.integers(100, 400, count, dtype=np.int32),
        "height": rng.integers(100, 400, count, dtype=np.int32),
        "brightness": rng.normal(120, 25, count).round(1).astype(np.float32),
        "contrast": rng.normal(55, 10, count).round(1).astype(np.float32),
        "sharpness": rng.gamma(8, 1, count).round(2).astype(np.float32),
        "bundle_id": bundle,
    }
    # the columns of a face are null where pictures are taken whole
    columns |= {field.name: pa.nulls(count, field.type) for field in PREDICTIONS_SCHEMA
                if field.name not in columns}  # fmt: skip
    return pa.table([columns[name] for name in PREDICTIONS_SCHEMA.names], PREDICTIONS_SCHEMA)


def _decades(age: np.ndarray) -> np.ndarray:
    table = bin_of(np.arange(0, 117.1, 0.1), DECADES).astype(np.int8)
    return table[np.rint(age * 10).astype(int)]


def with_duckdb(folder: Path) -> int:
    """What jobs.report does with any predictions."""
    return summary.summarise(prediction_files.find_predictions(str(folder))).rows


def with_pandas(folder: Path) -> int:
    """The same counts, sums and histograms, all rows in memory."""
    import pandas as pd

    from model.statistics import histogram, profile

    frame = pd.read_parquet(folder)
    frame[list(summary.MEANS[:2])].mean()
    frame.groupby(["gender", frame["age_years"] // 1], observed=True).size()
    for name in ("bundle_id", "gender", "age_group"):
        frame[name].value_counts()
    profile({n: frame[n].to_numpy() for n in frame if frame[n].dtype.kind in "fi"})
    histogram("age_years", frame["age_years"].to_numpy())
    frame["uri"].duplicated().sum()
    return len(frame)


def measure(engine: str, folder: Path, count: int) -> None:
    """Print a table row: rows, GB on disk, engine, seconds, rows a second, peak resident MiB."""
    started = time.monotonic()
    rows_seen = {"DuckDB": with_duckdb, "pandas": with_pandas}[engine](folder)
    seconds = time.monotonic() - started
    if rows_seen != count:
        raise SystemExit(f"{engine} saw {rows_seen} of {count} rows")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e9
    print(
        f"| {count:,} | {size:.2f} | {engine} | {seconds:,.1f} | {count / seconds / 1e6:,.2f} | "
        f"{peak:,.0f} |",
        flush=True,
    )


def main() -> None:
    """Measure every row count in a process of its own."""
    if len(sys.argv) == 4:
        measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
        return
    lines = [
        "# Summarising predictions\n",
        "`python -m benchmarks.aggregation`: generated rows, the function that jobs.report calls",
        f"(counts, sums, {DEFAULT_COVERAGE:.0%} interval widths, nine histograms, duplicates), and",
        "the same in plain pandas where it fits. The limit is 2 GiB at 100,000,000 rows.\n",
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, duckdb {__import__('duckdb').__version__}.\n",
        "| rows | GB on disk | with | seconds | million rows/s | peak RSS, MiB |",
        "|---:|---:|---|---:|---:|---:|",
    ]
    print("\n".join(lines), flush=True)
    for count in ROW_COUNTS:
        with tempfile.TemporaryDirectory(prefix="facemill-aggregation-") as name:
            if shutil.disk_usage(name).free < 2 * count * DISK_BYTES_PER_ROW:
                raise SystemExit(f"{count:,} rows need {count * DISK_BYTES_PER_ROW / 1e9:.0f} GB")
            generate(Path(name), count)
            for engine in ("DuckDB", "pandas") if count <= PANDAS_ROWS else ("DuckDB",):
                command = [sys.executable, "-m", "benchmarks.aggregation", engine, name, str(count)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                lines.append(done.stdout.strip())
                print(lines[-1], flush=True)
    if "--write" in sys.argv:
        PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
