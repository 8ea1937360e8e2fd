"""One run's predictions as a data set for analysts: few large files, Hive partitions if asked.

Scoring commits shards of at most 50,000 rows, because a shard is what a dead worker repeats.
Analysts want files of about 128 MB and folders that a query can skip. So a finished run can be
laid out a second time below `dataset/`; `dataset.json`, written last, says that it is whole. The
files are made in a local scratch folder, which needs as much room as they take.
"""

import dataclasses
import hashlib
import io
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq

from model.errors import FacemillError, UsageError
from pipelines import storage
from pipelines.predictions import hive, layout
from pipelines.predictions.schemas import OPTIONAL_SCHEMA, PREDICTIONS_SCHEMA
from pipelines.storage import tables
from pipelines.storage.claims import Claim
from pipelines.storage.fetching import read_ahead
from pipelines.storage.lease import Lease
from pipelines.telemetry.progress import Progress

MAX_PARTITIONS = 1000  # more would be thousands of tiny files, which a data set is to avoid
ROW_GROUP_ROWS = 250_000  # DuckDB and Polars scan a row group a core; 122,880 or more suit both
_PARTITIONED_GROUP_ROWS = 20_000  # a row group of each of a thousand partitions fits in memory
_READERS = 4
datasets: Any = pyarrow.dataset  # its stubs lack arguments
_COLUMNS = ("gender", "age_group")


@dataclasses.dataclass(frozen=True)
class Partitioning:
    """How to lay a data set out.

    Attributes:
        by: columns that become folders, outermost first: `gender`, `age_group`.
        regex: RE2 with named groups, searched in each uri; each group becomes a folder level
            below `by`, e.g. `/(?P<camera>[^/]+)/[^/]+$`.
        file_bytes: size that files shall have where there is that much.
    """

    by: tuple[str, ...] = ()
    regex: str | None = None
    file_bytes: int = 128 << 20

    def __post_init__(self) -> None:
        """Check the columns and the regular expression.

        Raises:
            UsageError: a column cannot be a partition, or the expression is not RE2 with named
                groups.
        """
        for name in self.by:
            if name not in _COLUMNS:
                raise UsageError(
                    f"`partition_by` {name!r} cannot be a folder: choose of {', '.join(_COLUMNS)}, "
                    "or cut one out of the uri with `partition_regex`"
                )
        if len(set(self.by)) < len(self.by):
            raise UsageError(f"`partition_by` {','.join(self.by)} names a column twice")
        clash = set(self.groups) & {*PREDICTIONS_SCHEMA.names, *OPTIONAL_SCHEMA.names}
        if clash:
            raise UsageError(
                f"`partition_regex` names its group {', '.join(sorted(clash))} as a column of the "
                "predictions: choose another name"
            )

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the expression's groups, in their order.

        Raises:
            UsageError: it is not RE2 with named groups.
        """
        if self.regex is None:
            return ()
        example = "write one such as '/(?P<camera>[^/]+)/[^/]+$'"
        try:
            matches: Any = pc.extract_regex(pa.array([""]), self.regex)
        except pa.ArrowInvalid as error:
            raise UsageError(f"`partition_regex` {self.regex!r}: {error}; {example}") from None
        names = tuple(matches.type.field(i).name for i in range(matches.type.num_fields))
        if not names:
            raise UsageError(f"`partition_regex` {self.regex!r} has no named group: {example}")
        return names

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the folder levels, outermost first."""
        return (*self.by, *self.groups)


def write_dataset(output: str, partitioning: Partitioning) -> dict[str, Any]:
    """Lay a finished run's predictions out below `output`/dataset.

    Args:
        output: of a finished scoring run.
        partitioning: how.

    Returns:
        dataset.json: what is there, file by file. Where it already says all this, nothing is
        written.

    Raises:
        UsageError: the run is not finished, there would be too many partitions, or another driver
            is at work in the output.
        FacemillError: a shard is not what was committed.
    """
    uri = layout.path(output, layout.RUN)
    try:
        run = tables.read_json(uri)
    except FileNotFoundError:
        raise UsageError(
            f"{output} holds no {layout.RUN}: finish the run first, then write its data set"
        ) from None
    marker = layout.path(output, layout.DATASET_RECORD)
    with tables.record_read(uri):
        rows = run.get("rows", run["scored"])
        wanted = tables.plain(
            {"format": 1, "layout": dataclasses.asdict(partitioning),
             "run_finished_at": run["finished_at"],
             "bundle_id": run["bundle_id"], "rows": rows}
        )  # fmt: skip
    claim = Claim(output, layout.DATASET_RECORD, "data set", wanted)
    before = claim.record()
    if before is not None and not claim.differences():
        return before
    with Lease(output) as lease, tempfile.TemporaryDirectory(prefix="facemill-") as scratch:
        storage.delete(marker)
        storage.delete_tree(layout.path(output, layout.DATASET))
        _lay_out(output, partitioning, run, Path(scratch), lease)
        files = _upload(output, Path(scratch))
        if sum(file["rows"] for file in files.values()) != rows:
            raise FacemillError(f"{output}/dataset does not have the {rows:,} rows of {layout.RUN}")
        record = {**wanted, "files": files}
        lease.confirm()  # else it might say of a successor's files that they are whole
        tables.write_json(marker, record)
    return record


def _shards(output: str, run: dict[str, Any]) -> Iterator[pa.Table]:
    """The predictions, a shard at a time, in input order."""
    names = [n for n, file in run["files"].items() if n.startswith("predictions/") and file["rows"]]

    def read(name: str) -> pa.Table:
        table = tables.read_table(storage.join(output, name))
        if table.num_rows != run["files"][name]["rows"]:
            raise FacemillError(
                f"{output}/{name} has {table.num_rows:,} rows, {run['files'][name]['rows']:,} were "
                "committed: see `python -m jobs.verify`"
            )
        return table

    return read_ahead(read, sorted(names), _READERS)


def _lay_out(
    output: str, partitioning: Partitioning, run: dict[str, Any], scratch: Path, lease: Lease
) -> None:
    """Write the files below a scratch folder, shard by shard.

    Arrow writes them: files are cut at `file_bytes`, as far as the first shard tells the size of a
    row, and row groups are as long as a scan wants, but shorter where many partitions are open.

    Raises:
        UsageError: there would be too many partitions.
        FacemillError: a shard is not what was committed.
    """
    shards = (_with_levels(shard, partitioning) for shard in _shards(output, run))
    first = next(shards, None)
    if first is None:
        return
    notes = {"facemill.bundle_id": run["bundle_id"], "facemill.run_id": run.get("run_id", "")}
    schema = first.schema.with_metadata({**(first.schema.metadata or {}), **notes})
    levels = list(partitioning.levels)
    progress = Progress("lay out", run.get("rows", run["scored"]), "rows")
    partitions = set[tuple[Any, ...]]()

    def batches() -> Iterator[Any]:
        for shard in itertools.chain([first], shards):
            if levels:
                distinct: Any = shard.select(levels).group_by(levels).aggregate([])
                partitions.update(tuple(row.values()) for row in distinct.to_pylist())
            if len(partitions) > MAX_PARTITIONS:
                raise UsageError(
                    f"there would be more than {MAX_PARTITIONS:,} partitions of "
                    f"{', '.join(levels)}: partition by fewer columns or with a coarser "
                    "`partition_regex`"
                )
            yield from shard.cast(schema).to_batches()
            progress.advance(shard.num_rows)
            lease.check()

    rows = max(1, partitioning.file_bytes // _bytes_of_a_row(first))
    group = min(rows, _PARTITIONED_GROUP_ROWS if levels else ROW_GROUP_ROWS)
    file_format = datasets.ParquetFileFormat()
    datasets.write_dataset(
        batches(), scratch, schema=schema, format=file_format,
        file_options=file_format.make_write_options(compression="zstd"),
        basename_template="part-{i}.parquet", max_rows_per_file=rows, min_rows_per_group=group,
        max_rows_per_group=group, preserve_order=True, max_partitions=MAX_PARTITIONS,
        partitioning=datasets.partitioning(
            pa.schema([schema.field(name) for name in levels]), flavor="hive"
        ),
    )  # fmt: skip
    progress.close()
    folders = sorted({str(file.parent.relative_to(scratch)) for file in scratch.rglob("*.parquet")})
    if text_folder := hive.text_folder(folders, partitioning.groups):
        (scratch / text_folder).mkdir(parents=True)
        nothing = first.slice(0, 0).drop_columns(levels).cast(_without(schema, levels))
        pq.write_table(nothing, scratch / text_folder / "part-0.parquet")


def _with_levels(shard: pa.Table, partitioning: Partitioning) -> pa.Table:
    """A shard with each folder level as a column of text."""
    for name in partitioning.by:
        text: Any = shard[name].cast(pa.string())
        shard = shard.set_column(shard.column_names.index(name), name, text)
    if partitioning.regex is not None:
        matches: Any = pc.extract_regex(shard["uri"], partitioning.regex)
        for name in partitioning.groups:
            shard = shard.append_column(name, pc.struct_field(matches, name))
    return shard


def _without(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    kept = [field for field in schema if field.name not in names]
    return pa.schema(kept).with_metadata(schema.metadata or {})


def _bytes_of_a_row(shard: pa.Table) -> int:
    """About how many bytes a row takes in a file."""
    buffer = io.BytesIO()
    pq.write_table(shard, buffer, compression="zstd")
    return max(1, buffer.tell() // max(1, shard.num_rows))


def _upload(output: str, scratch: Path) -> dict[str, dict[str, Any]]:
    """Put all files in place; returns rows, bytes and SHA-256 of each."""
    files = dict[str, dict[str, Any]]()
    for path in sorted(scratch.rglob("*.parquet")):
        name = f"{layout.DATASET}/{path.relative_to(scratch)}"
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        storage.upload(storage.join(output, name), path)
        rows = pq.read_metadata(path).num_rows
        files[name] = {"rows": rows, "bytes": path.stat().st_size, "sha256": sha256}
    return files


def describe(record: dict[str, Any]) -> str:
    """`12 files of 2 partitions`."""
    filled = [name for name, file in record["files"].items() if file["rows"]]
    folders = {name.rpartition("/")[0] for name in filled}
    files = f"{len(filled):,} file{'s' if len(filled) != 1 else ''}"
    return files if len(folders) < 2 else f"{files} in {len(folders):,} partitions"
