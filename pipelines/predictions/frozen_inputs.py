"""The frozen list of inputs: manifest shards, written once, one scored file each.

    output/inputs/shard-00000.parquet …   uri, bytes, offset, etag; columns that are kept
    output/inputs/frozen.json             written last: rows and SHA-256 of each shard

A run over a bucket that changes under it would lose its place; over a frozen list it cannot.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from model.errors import ManifestError
from pipelines.predictions import layout
from pipelines.storage import tables

INPUT_COLUMNS = ("uri", "bytes", "offset", "etag")
UNIT = "unit"  # of a listing: see `FileEntry`
_INPUT_SCHEMA = pa.schema(
    [("uri", pa.string()), ("bytes", pa.int64()), ("offset", pa.int64()), ("etag", pa.string())]
)
NOTHING = _INPUT_SCHEMA.empty_table()
_FIRST_ROWS, _SHARDS_A_SIZE, _MAX_ROWS = 512, 8, 50_000
# Photos cost time by their bytes: 250 of 4 MB take a core half a minute, as 50,000 chips do.
_MAX_BYTES = 1 << 30
_USUAL_BYTES = 100_000  # of a file whose size the list does not say


def shard_rows(index: int, fixed: int | None = None) -> int:
    """Rows of shard `index`: `fixed`, or 512 eight times, doubling every eight, up to 50,000.

    So 20,000 images make 20 shards (two cores end together, a kill costs seconds) and a billion
    make some 20,000 files, not millions.
    """
    if fixed is not None:
        return fixed
    return min(_MAX_ROWS, _FIRST_ROWS << min(index // _SHARDS_A_SIZE, 20))


@dataclasses.dataclass(frozen=True)
class FrozenInputs:
    """Whose inputs they are, how many rows each shard has and the SHA-256 of its file.

    `excluded` are entries of the listing that were left out on purpose.
    """

    output: str
    rows: tuple[int, ...]
    sha256: tuple[str, ...]
    excluded: int = 0

    @property
    def total(self) -> int:
        """Rows of all shards."""
        return sum(self.rows)

    def first_uri(self) -> str | None:
        """The first input of all, or None where all have been dropped."""
        index = next((i for i, rows in enumerate(self.rows) if rows), None)
        return None if index is None else self.read(index)[0]["uri"]

    def read(self, index: int) -> list[dict[str, Any]]:
        """The rows of one shard."""
        return tables.read_table(layout.shard(self.output, layout.INPUTS, index)).to_pylist()


def load_frozen(output: str) -> FrozenInputs | None:
    """The frozen inputs of an output, or None if freezing never finished."""
    uri = layout.path(output, layout.FROZEN)
    try:
        record = tables.read_json(uri)
    except FileNotFoundError:
        return None
    with tables.record_read(uri):
        rows = tuple(map(int, record["rows"]))
        sums = tuple(map(str, record.get("sha256", [""] * len(rows))))
        if len(sums) != len(rows) or sum(rows) != record["total"]:
            raise ValueError(f"{len(rows)} shards of {record['total']} inputs, {len(sums)} hashes")
        return FrozenInputs(output, rows, sums, int(record.get("excluded", 0)))


def freeze(
    output: str,
    parts: Iterable[pa.Table],
    fixed_rows: int | None = None,
    excluded: Callable[[], int] = lambda: 0,
) -> FrozenInputs:
    """Write the shards of a listing, then the marker; memory holds one shard at a time.

    Args:
        output: of the scoring job.
        parts: tables with at least `uri`; bytes, offset and etag are taken where they are.
        fixed_rows: rows of each shard, or None for growing ones.
        excluded: how many entries the listing has left out, asked at its end.

    Raises:
        ManifestError: there is no input at all.
    """
    rows, sums = list[int](), list[str]()
    for shard in regroup(parts, fixed_rows):
        sums.append(tables.write_table(layout.shard(output, layout.INPUTS, len(rows)), shard))
        rows.append(shard.num_rows)
    if not rows:
        raise ManifestError("there is nothing to score: the input lists no file")
    return write_frozen(output, rows, sums, excluded())


def write_frozen(output: str, rows: list[int], sums: list[str], excluded: int = 0) -> FrozenInputs:
    """Write the marker: rows and SHA-256 of each shard of `output`."""
    record: dict[str, Any] = {"total": sum(rows), "rows": rows, "sha256": sums}
    record |= {"excluded": excluded} if excluded else {}
    tables.write_json(layout.path(output, layout.FROZEN), record)
    return FrozenInputs(output, tuple(rows), tuple(sums), excluded)


def committed(output: str) -> set[int]:
    """Shards whose predictions file exists."""
    files = tables.list_parquet(layout.path(output, layout.PREDICTIONS))
    return {layout.shard_index(file) for file in files}


def regroup(parts: Iterable[pa.Table], fixed: int | None) -> Iterator[pa.Table]:
    """Cut a stream of tables into shards of `shard_rows` or 1 GiB of files, whichever is less.

    An increment starts small again; of `fixed` rows a shard is whatever its bytes are. What shares
    a unit stays in one shard, however large.
    """
    shard, unit = _Shard(0, fixed), None
    for part in parts:
        for rest, its_unit in _by_unit(part):
            if unit is not None and its_unit != unit and shard.is_full():
                yield shard.table()
                shard = _Shard(shard.index + 1, fixed)
            if its_unit is not None:
                if its_unit != unit and shard.rows and not shard.fits(rest):
                    yield shard.table()
                    shard = _Shard(shard.index + 1, fixed)
                shard.add(rest)
            else:
                while rest.num_rows:
                    taken = shard.take(rest)
                    rest = rest.slice(taken)
                    if rest.num_rows or shard.is_full():
                        yield shard.table()
                        shard = _Shard(shard.index + 1, fixed)
            unit = its_unit
    if shard.rows:
        yield shard.table()


class _Shard:
    """A shard that is being filled."""

    def __init__(self, index: int, fixed: int | None) -> None:
        self.index, self._most, self._fixed = index, shard_rows(index, fixed), fixed
        self.rows, self._bytes, self._pieces = 0, 0, list[pa.Table]()

    def table(self) -> pa.Table:
        return pa.concat_tables(self._pieces)

    def is_full(self) -> bool:
        return self.rows >= self._most

    def fits(self, rows: pa.Table) -> bool:
        """Whether all of some rows have room."""
        return self._room(rows) == rows.num_rows

    def add(self, rows: pa.Table) -> None:
        self._pieces.append(rows)
        self.rows += rows.num_rows
        self._bytes += int(_bytes_of(rows).sum())

    def take(self, rows: pa.Table) -> int:
        """Add the first of some rows, as many as have room, at least one if there is none yet."""
        count = max(self._room(rows), 0 if self.rows else 1)
        if count:
            self.add(rows.slice(0, count))
        return count

    def _room(self, rows: pa.Table) -> int:
        rows = rows.slice(0, max(self._most - self.rows, 0))
        if self._fixed is not None:
            return rows.num_rows
        sums = np.cumsum(_bytes_of(rows))
        return int(np.searchsorted(sums, _MAX_BYTES - self._bytes, side="right"))


def _by_unit(part: pa.Table) -> Iterator[tuple[pa.Table, str | None]]:
    """A part as rows of a shard, in runs of one unit, which is None for rows by themselves."""
    rows = as_input(part)
    if UNIT not in part.column_names or part[UNIT].null_count == part.num_rows:
        yield rows, None
        return
    units: Any = part[UNIT].to_pandas()
    starts = np.flatnonzero((units != units.shift()) & ~(units.isna() & units.shift().isna()))
    starts = [0, *(start for start in starts.tolist() if start)]
    for start, end in itertools.pairwise([*starts, part.num_rows]):
        yield rows.slice(start, end - start), part[UNIT][start].as_py()


def _bytes_of(rows: pa.Table) -> Any:
    """Sizes of files, int64 (n,)."""
    sizes: Any = rows["bytes"]
    return sizes.fill_null(_USUAL_BYTES).to_numpy()


def as_input(part: pa.Table) -> pa.Table:
    """A listing's or a manifest's rows with the columns of a shard, null where they are not.

    What other columns there are is kept behind them, but for the unit.
    """
    more = [name for name in part.column_names if name not in (*INPUT_COLUMNS, UNIT)]
    columns = [
        part[field.name].cast(field.type)
        if field.name in part.column_names
        else pa.nulls(part.num_rows, field.type)
        for field in _INPUT_SCHEMA
    ]
    names = [*INPUT_COLUMNS, *more]
    return pa.Table.from_arrays([*columns, *(part[name] for name in more)], names=names)
