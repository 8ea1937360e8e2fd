"""A folder, a prefix or an archive of images: every file below it, listed in parallel."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import ray

from pipelines.storage import listing

LISTED = pa.schema(
    [("uri", pa.string()), ("bytes", pa.int64()), ("etag", pa.string()), ("offset", pa.int64())]
)
BLOCK_ROWS = 2_000  # files a task of what follows: a second of hashing from disk


def list_entries(batch: dict[str, Any]) -> Iterator[pa.Table]:
    """List one root a row, as tables of at most 10,000 files."""
    for root, descend in zip(batch["root"], batch["descend"], strict=True):
        entries: list[dict[str, Any]] = []
        for entry in listing.list_files(str(root), descend=bool(descend)):
            entries.append(dataclasses.asdict(entry))
            if len(entries) == 10_000:
                yield pa.Table.from_pylist(entries, schema=LISTED)
                entries = []
        yield pa.Table.from_pylist(entries, schema=LISTED)


def listed_files(images: str) -> Any:
    """A Ray Data set of the files below `images`: uri, bytes, etag, offset; listed in parallel."""
    roots = [{"root": root, "descend": descend} for root, descend in listing.list_roots(images)]
    list_some: Any = list_entries  # Ray's stubs want a function of every batch format at once
    return (
        ray.data.from_items(roots, override_num_blocks=min(len(roots), 64))
        # Its own CPU share keeps Ray from fusing listing with what follows: one flat folder is
        # one listing task, and hashing it must still spread over all cores.
        .map_batches(list_some, batch_size=1, num_cpus=0.1)
        .repartition(target_num_rows_per_block=BLOCK_ROWS)
    )
