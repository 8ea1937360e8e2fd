"""The frozen list of inputs: manifest shards, written once, one scored file each.

    output/inputs/shard-00000.parquet …   uri, bytes, offset, etag
    output/inputs/frozen.json             written last: rows and SHA-256 of each shard

A run over a bucket that changes under it would lose its place; over a frozen list it cannot.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
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
# Photographs cost time by their bytes: 250 of 4 MB take a core half a minute, as 50,000 chips do.
_MOST_BYTES = 1 << 30
_USUAL_BYTES = 100_000  # of a file whose size the list does not say


def shard_rows(index: int, fixed: int | None = None) -> int:
    """Rows of shard `index`: `fixed`, or 512 eight times, doubling every eight, up to 50,000.

    So 20,000 images make 20 shards (two cores end together, a kill costs seconds) and a billion
    make some 20,000 files, not millions.
    """
    if fixed is not None:
        return fixed
    return min(_MOST_ROWS, _FIRST_ROWS << min(index // _SHARDS_A_SIZE, 20))


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

    def first_uri(self) -> str | None:
        """The first input of all, or None where all have been dropped."""
        index = next((i for i, rows in enumerate(self.rows) if rows), None)
        return None if index is None else self.read(index)[0]["uri"]

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
    """Cut a stream of tables into shards of `shard_rows` or 1 GiB of files, whichever is less.

    An increment starts small again; of `fixed` rows a shard is whatever its bytes are.
    """
    index, held, held_bytes, pieces = 0, 0, 0, list[pa.Table]()
    for part in parts:
        rest = as_input(part)
        while rest.num_rows:
            room = shard_rows(index, fixed) - held
            sums = np.cumsum(_bytes_of(rest.slice(0, room)))
            fits = len(sums)
            if fixed is None:
                fits = int(np.searchsorted(sums, _MOST_BYTES - held_bytes, side="right"))
                fits = max(fits, 0 if held else 1)
            pieces.append(rest.slice(0, fits))
            held += fits
            held_bytes += int(sums[fits - 1]) if fits else 0
            is_full = fits < len(sums) or held == shard_rows(index, fixed)
            rest = rest.slice(fits)
            if is_full:
                yield pa.concat_tables(pieces)
                pieces, held, held_bytes, index = [], 0, 0, index + 1
    if held:
        yield pa.concat_tables(pieces)


def _bytes_of(rows: pa.Table) -> Any:
    """Sizes of files, int64 (n,)."""
    sizes: Any = rows["bytes"]
    return sizes.fill_null(_USUAL_BYTES).to_numpy()


def as_input(part: pa.Table) -> pa.Table:
    """A listing's or a manifest's rows with the columns of a shard, null where they are not."""
    columns = [
        part[field.name].cast(field.type)
        if field.name in part.column_names
        else pa.nulls(part.num_rows, field.type)
        for field in _INPUT_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=_INPUT_SCHEMA)
