"""One run's predictions as a data set for analysts: few large files, Hive partitions if asked.

Scoring commits shards of at most 50,000 rows, because a shard is what a dead worker repeats.
Analysts want files of about 128 MB and folders that a query can skip. So a finished run can be
laid out a second time below `dataset/`; `dataset.json`, written last, says that it is whole.
"""

import dataclasses
import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather

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
_HELD_BYTES = 256 << 20  # of rows in memory, over all partitions; the rest waits on a disk
_READERS = 4
feather: Any = pyarrow.feather  # its stubs want a pandas frame
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
        writer = _Writer(output, partitioning, run, scratch)
        progress = Progress("lay out", rows, "rows")
        for part in _shards(output, run):
            writer.add(part)
            progress.advance(part.num_rows)
            lease.check()
        files = writer.close()
        progress.close()
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


class _Writer:
    """Collects rows by partition and writes a file where enough of one are together.

    What does not fit into memory meanwhile waits in a scratch folder: a partition is not cut into
    small files because there are many others.
    """

    def __init__(
        self, output: str, partitioning: Partitioning, run: dict[str, Any], scratch: str
    ) -> None:
        self._output, self._partitioning = output, partitioning
        self._notes = {
            "facemill.bundle_id": run["bundle_id"],
            "facemill.run_id": run.get("run_id", ""),
        }
        self._scratch = scratch
        self._held = dict[str, list[pa.Table]]()
        self._bytes = dict[str, int]()  # of the rows in memory
        self._waiting = dict[str, list[str]]()  # files in the scratch folder
        self._gathered = dict[str, int]()  # bytes of rows for the next file, waiting ones too
        self._files = dict[str, dict[str, Any]]()
        self._parts = dict[str, int]()
        self._no_rows: pa.Table | None = None  # of the columns that files have
        self._compression_ratio = (
            4.0  # bytes in memory for one on disk; learnt from the files written
        )

    def add(self, table: pa.Table) -> None:
        for folder, rows in self._split(table):
            self._no_rows = rows.slice(0, 0)
            self._held.setdefault(folder, []).append(rows)
            self._bytes[folder] = self._bytes.get(folder, 0) + rows.nbytes
            self._gathered[folder] = self._gathered.get(folder, 0) + rows.nbytes
            if len(self._bytes) > MAX_PARTITIONS:
                raise UsageError(
                    f"there would be more than {MAX_PARTITIONS:,} partitions, such as {folder}: "
                    "partition by fewer columns or with a coarser `partition_regex`"
                )
            if self._gathered[folder] > self._compression_ratio * self._partitioning.file_bytes:
                self._flush(folder)
        while sum(self._bytes.values()) > _HELD_BYTES:
            self._spill(max(self._bytes, key=lambda folder: self._bytes[folder]))

    def close(self) -> dict[str, dict[str, Any]]:
        """Write what is left; returns rows and SHA-256 of each file."""
        for folder in self._gathered:
            self._flush(folder)
        text_folder = hive.text_folder(list(self._gathered), self._partitioning.groups)
        if text_folder is not None and self._no_rows is not None:
            self._write(f"{layout.DATASET}/{text_folder}/part-00000.parquet", [self._no_rows])
        return self._files

    def _spill(self, folder: str) -> None:
        """Move a partition's rows from memory into the scratch folder."""
        rows = pa.concat_tables(self._held.pop(folder)).unify_dictionaries()
        self._bytes[folder] = 0
        waiting = self._waiting.setdefault(folder, [])
        name = f"{list(self._gathered).index(folder)}-{self._parts.get(folder, 0)}-{len(waiting)}"
        waiting.append(os.path.join(self._scratch, name))
        feather.write_feather(rows, waiting[-1], compression="zstd")

    def _split(self, table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        """(folder, its rows) of a shard, in input order."""
        levels = self._partitioning.levels
        if not levels:
            yield "", table
            return
        values = {name: table[name].cast(pa.string()) for name in self._partitioning.by}
        if self._partitioning.regex is not None:
            matches: Any = pc.extract_regex(table["uri"], self._partitioning.regex)
            values |= {name: pc.struct_field(matches, name) for name in self._partitioning.groups}
        folders: Any = pc.binary_join_element_wise(
            *(hive.folder_names(name, values[name]) for name in levels), "/"
        )
        rest = table.drop_columns(list(self._partitioning.by))
        for folder in pc.unique(folders).to_pylist():
            yield folder, rest.filter(pc.equal(folders, folder))

    def _flush(self, folder: str) -> None:
        waiting, gathered = self._waiting.pop(folder, []), self._gathered[folder]
        held = self._held.pop(folder, [])
        if not waiting and not held:
            return
        self._bytes[folder] = self._gathered[folder] = 0
        number = self._parts.get(folder, 0)
        self._parts[folder] = number + 1
        name = "/".join(filter(None, (layout.DATASET, folder, f"part-{number:05d}.parquet")))
        pieces = itertools.chain(map(feather.read_table, waiting), held)
        self._compression_ratio = max(1.0, gathered / self._write(name, pieces))
        for path in waiting:
            os.unlink(path)

    def _write(self, name: str, pieces: Iterable[pa.Table]) -> int:
        """Write a file, whose rows are never all in memory; returns its bytes."""
        path = Path(self._scratch, "next.parquet")
        rows = tables.write_pieces(path, pieces, self._notes, ROW_GROUP_ROWS)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        storage.upload(storage.join(self._output, name), path)
        size = path.stat().st_size
        self._files[name] = {"rows": rows, "bytes": size, "sha256": sha256}
        return size


def describe(record: dict[str, Any]) -> str:
    """`12 files of 2 partitions`."""
    filled = [name for name, file in record["files"].items() if file["rows"]]
    folders = {name.rpartition("/")[0] for name in filled}
    files = f"{len(filled):,} file{'s' if len(filled) != 1 else ''}"
    return files if len(folders) < 2 else f"{files} in {len(folders):,} partitions"
