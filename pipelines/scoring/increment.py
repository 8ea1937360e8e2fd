"""Lists a source again: new inputs become new shards, shards with changed inputs are scored again.

    output/inputs/growing.json   there while the frozen list is being changed
    output/deleted.parquet       uris that are listed no more; their rows stay unless dropped

An input is the same while its uri, etag, size, offset and kept columns are. Driver memory: 36
bytes an input.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines import storage
from pipelines.predictions import frozen_inputs, layout
from pipelines.predictions.uri_hashes import HASH, hash_strings
from pipelines.storage import tables


@dataclasses.dataclass(frozen=True)
class Growth:
    """How the listing differs from the frozen one, in inputs."""

    added: int
    changed: int
    deleted: int


def is_unfinished(output: str) -> bool:
    """Whether a driver died while it changed the frozen list: it must be listed again."""
    return storage.exists(_marker(output))


def grow(
    output: str,
    frozen: frozen_inputs.FrozenInputs,
    parts: Iterable[pa.Table],
    fixed_rows: int | None = None,
    drop_deleted: bool = False,
    excluded: Callable[[], int] = lambda: 0,
) -> tuple[frozen_inputs.FrozenInputs, Growth]:
    """Bring the frozen inputs up to a new listing.

    The marker stands from the first change to the last, and nothing is scored meanwhile, so a
    driver that dies here leaves a list that is simply made again.

    Args:
        output: of the scoring job.
        frozen: its inputs so far.
        parts: the listing, as for `frozen_inputs.freeze`.
        fixed_rows: rows of each new shard, or None for growing ones.
        drop_deleted: forget inputs that are listed no more: their names, their rows, and the data
            set that was made of them.
        excluded: how many entries the listing has left out, asked at its end.
    """
    known = _Known(frozen)
    tables.write_json(_marker(output), {"shards": len(frozen.rows)})
    rows, sums = list(known.rows), list(known.sha256)
    changed: list[pa.Table] = []

    def new_rows() -> Iterator[pa.Table]:
        for part in parts:
            new, other = known.compare(frozen_inputs.as_input(part))
            changed.append(other)
            yield new

    for shard in frozen_inputs.regroup(new_rows(), fixed_rows):
        sums.append(tables.write_table(layout.shard(output, layout.INPUTS, len(rows)), shard))
        rows.append(shard.num_rows)
    replaced = pa.concat_tables(changed) if changed else known.nothing
    deleted = int((~known.seen).sum())
    added = sum(rows) - sum(known.rows)
    is_rewritten = replaced.num_rows > 0 or (drop_deleted and deleted > 0)
    if added or is_rewritten:
        # First of all: what says "finished" must never outlive a file that it counts.
        for marker in (layout.RUN, layout.DATASET_RECORD):
            storage.delete(layout.path(output, marker))
    if drop_deleted and deleted:
        storage.delete_tree(layout.path(output, layout.DATASET))
    for index, table in known.updated(replaced, drop_deleted):
        storage.delete(layout.shard(output, layout.PREDICTIONS, index))
        sums[index] = tables.write_table(layout.shard(output, layout.INPUTS, index), table)
        rows[index] = table.num_rows
    known.write_deleted(output, forget=drop_deleted)
    growth = Growth(added, replaced.num_rows, deleted)
    left_out = excluded()
    if (tuple(sums), tuple(rows), left_out) != (frozen.sha256, frozen.rows, frozen.excluded):
        frozen = frozen_inputs.write_frozen(output, rows, sums, left_out)
    storage.delete(_marker(output))
    return frozen, growth


def preview(
    frozen: frozen_inputs.FrozenInputs, parts: Iterable[pa.Table], fixed_rows: int | None = None
) -> tuple[Growth, frozenset[int], int]:
    """What `grow` would find, the shards it would score again, how many it would add."""
    known = _Known(frozen)
    changed = 0

    def new_rows() -> Iterator[pa.Table]:
        nonlocal changed
        for part in parts:
            new, other = known.compare(frozen_inputs.as_input(part))
            changed += other.num_rows
            yield new

    fresh = [shard.num_rows for shard in frozen_inputs.regroup(new_rows(), fixed_rows)]
    stale = frozenset(np.unique(known.shard[known.stale]).tolist())
    return Growth(sum(fresh), changed, int((~known.seen).sum())), stale, len(fresh)


def _marker(output: str) -> str:
    return layout.path(output, layout.GROWING)


def _state(table: pa.Table) -> Any:
    """A hash of what changes when a file does."""
    names = ("etag", "bytes", "offset", *table.column_names[len(frozen_inputs.INPUT_COLUMNS) :])
    columns = (table[name].to_pylist() for name in names)
    text = ["|".join(map(str, values)) for values in zip(*columns, strict=True)]
    return pd.util.hash_array(np.array(text, dtype=object), categorize=False)


class _Known:
    """The frozen inputs as sorted hashes."""

    def __init__(self, frozen: frozen_inputs.FrozenInputs) -> None:
        self.frozen = frozen
        self.sha256: list[
            str
        ] = []  # as the files are: a driver may have died while it changed them
        self.rows: list[int] = []
        self.nothing = frozen_inputs.NOTHING
        hashes, states = [np.empty(0, HASH)], [np.empty(0, np.uint64)]
        for index in range(len(frozen.rows)):
            uri = layout.shard(frozen.output, layout.INPUTS, index)
            data = storage.read_bytes(uri)
            self.sha256.append(hashlib.sha256(data).hexdigest())
            table = tables.decode_table(uri, data)
            self.rows.append(table.num_rows)
            self.nothing = table.slice(0, 0)
            hashes.append(hash_strings(table["uri"]))
            states.append(_state(table))
        self.hashes, self.states = np.concatenate(hashes), np.concatenate(states)
        self.shard = np.repeat(np.arange(len(self.rows), dtype=np.int32), self.rows)
        self.order = np.argsort(self.hashes["first"], kind="stable")
        self.sorted = self.hashes["first"][self.order]
        self.seen = np.zeros(len(self.hashes), dtype=bool)
        self.stale = np.zeros(len(self.hashes), dtype=bool)

    def _table(self, index: int) -> pa.Table:
        return tables.read_table(layout.shard(self.frozen.output, layout.INPUTS, index))

    def compare(self, part: pa.Table) -> tuple[pa.Table, pa.Table]:
        """(new rows, changed rows) of a part of the listing."""
        hashes, states = hash_strings(part["uri"]), _state(part)
        if not len(self.sorted):
            return part, part.slice(0, 0)
        at = np.searchsorted(self.sorted, hashes["first"]).clip(0, len(self.sorted) - 1)
        place = self.order[at]
        there = self.hashes[place] == hashes
        self.seen[place[there]] = True
        changed = there & (self.states[place] != states)
        self.stale[place[changed]] = True
        return part.filter(pa.array(~there)), part.filter(pa.array(changed))

    def updated(self, replaced: pa.Table, drop_deleted: bool) -> Iterator[tuple[int, pa.Table]]:
        """Each shard that holds a changed input, with the input as it is now.

        With `drop_deleted` also those with inputs that are listed no more, without these.
        """
        news = {row["uri"]: row for row in replaced.to_pylist()}
        touched = self.stale | (~self.seen if drop_deleted else False)
        for index in np.unique(self.shard[touched]).tolist():
            kept = self._table(index)
            if drop_deleted:
                kept = kept.filter(pa.array(self.seen[self.shard == index]))
            rows = [news.get(row["uri"], row) for row in kept.to_pylist()]
            yield index, pa.Table.from_pylist(rows, schema=replaced.schema)

    def write_deleted(self, output: str, forget: bool) -> None:
        """Write the uris that the listing lacks; none are named where they shall be forgotten."""
        gone: list[Any] = [pa.array([], pa.string())]
        if not forget:
            for index in np.unique(self.shard[~self.seen]).tolist():
                missing = ~self.seen[self.shard == index]
                gone.append(self._table(index)["uri"].filter(pa.array(missing)).combine_chunks())
        names: Any = pa.chunked_array(gone, pa.string())
        uri = layout.path(output, layout.DELETED)
        if len(names):
            tables.write_table(uri, pa.table({"uri": names}))
        else:
            storage.delete(uri)
