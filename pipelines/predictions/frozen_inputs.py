"""The frozen list of inputs: manifest shards, written once, one scored file each.

    output/inputs/shard-00000.parquet …   uri, bytes, offset, etag
    output/inputs/frozen.json             written last: rows and SHA-256 of each shard

A run over a bucket that changes under it would lose its place; over a frozen list it cannot.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from model.errors import ManifestError
from pipelines.predictions import layout
from pipelines.storage import tables

INPUT_COLUMNS = ("uri", "bytes", "offset", "etag")
_INPUT_SCHEMA = pa.schema(
    [("uri", pa.string()), ("bytes", pa.int64()), ("offset", pa.int64()), ("etag", pa.string())]
)
NOTHING = _INPUT_SCHEMA.empty_table()
_FIRST_ROWS, _SHARDS_A_SIZE, _MOST_ROWS = 512, 8, 50_000


def shard_rows(index: int, fixed: int | None = None) -> int:
    """Rows of shard `index`: `fixed`, or 512 eight times, doubling every eight, up to 50,000.

    So 20,000 images make 20 shards (two cores end together, a kill costs seconds) and a billion
    make some 20,000 files, not millions.
    """
    if fixed is not None:
        return fixed
    return min(_MOST_ROWS, _FIRST_ROWS << min(index // _SHARDS_A_SIZE, 20))


def sizes(total: int, fixed: int | None = None) -> Iterator[int]:
    """Rows of each shard of `total` inputs."""
    index = 0
    while total > 0:
        rows = min(total, shard_rows(index, fixed))
        yield rows
        total, index = total - rows, index + 1


@dataclasses.dataclass(frozen=True)
class FrozenInputs:
    """Whose inputs they are, how many rows each shard has and the SHA-256 of its file."""

    output: str
    rows: tuple[int, ...]
    sha256: tuple[str, ...]

    @property
    def total(self) -> int:
        """Rows of all shards."""
        return sum(self.rows)

    def read(self, index: int) -> list[dict[str, Any]]:
        """The rows of one shard."""
        return tables.read_table(layout.shard(self.output, layout.INPUTS, index)).to_pylist()


def load_frozen(output: str) -> FrozenInputs | None:
    """The frozen inputs of an output, or None if freezing never finished."""
    try:
        record = tables.read_json(layout.path(output, layout.FROZEN))
    except FileNotFoundError:
        return None
    rows = tuple(record["rows"])
    return FrozenInputs(output, rows, tuple(record.get("sha256", [""] * len(rows))))


def freeze(output: str, parts: Iterable[pa.Table], fixed_rows: int | None = None) -> FrozenInputs:
    """Write the shards of a listing, then the marker; memory holds one shard at a time.

    Args:
        output: of the scoring job.
        parts: tables with at least `uri`; bytes, offset and etag are taken where they are.
        fixed_rows: rows of each shard, or None for growing ones.

    Raises:
        ManifestError: there is no input at all.
    """
    rows, sums = list[int](), list[str]()
    for shard in regroup(parts, fixed_rows):
        sums.append(tables.write_table(layout.shard(output, layout.INPUTS, len(rows)), shard))
        rows.append(shard.num_rows)
    if not rows:
        raise ManifestError("there is nothing to score: the input lists no file")
    return write_frozen(output, rows, sums)


def write_frozen(output: str, rows: list[int], sums: list[str]) -> FrozenInputs:
    """Write the marker: rows and SHA-256 of each shard of `output`."""
    record = {"total": sum(rows), "rows": rows, "sha256": sums}
    tables.write_json(layout.path(output, layout.FROZEN), record)
    return FrozenInputs(output, tuple(rows), tuple(sums))


def committed(output: str) -> set[int]:
    """Shards whose predictions file exists."""
    files = tables.list_parquet(layout.path(output, layout.PREDICTIONS))
    return {layout.shard_index(file) for file in files}


def regroup(parts: Iterable[pa.Table], fixed: int | None) -> Iterator[pa.Table]:
    """Cut a stream of tables into shards of `shard_rows`; an increment starts small again."""
    index, held, pieces = 0, 0, list[pa.Table]()
    for part in parts:
        rest = as_input(part)
        while held + rest.num_rows >= shard_rows(index, fixed):
            take = shard_rows(index, fixed) - held
            yield pa.concat_tables([*pieces, rest.slice(0, take)])
            rest, pieces, held, index = rest.slice(take), [], 0, index + 1
        if rest.num_rows:
            pieces.append(rest)
            held += rest.num_rows
    if pieces:
        yield pa.concat_tables(pieces)


def as_input(part: pa.Table) -> pa.Table:
    """A listing's or a manifest's rows with the columns of a shard, null where they are not."""
    columns = [
        part[field.name].cast(field.type)
        if field.name in part.column_names
        else pa.nulls(part.num_rows, field.type)
        for field in _INPUT_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=_INPUT_SCHEMA)
