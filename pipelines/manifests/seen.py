"""Which images a network has learned from, in a few kilobytes of its bundle, and how many it meets.

The hashes of all images are ranked and the smallest `SAMPLE` kept (the sketch of Bar-Yossef 2002,
"Counting distinct elements"): hashes are uniform, so of other images as many in a hundred are known
as of those among them whose hash is as small. One image alone says nothing; of a hundred images out
of 19,000, five are expected to have such a hash.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipelines.manifests.splits import identities

SAMPLE = 1024
_DIGITS = 10  # of a million others 0.001 would be taken for a known one


def sketch(table: pa.Table) -> dict[str, Any]:
    """What a bundle keeps of the images that it learned from.

    Args:
        table: rows of a manifest.

    Returns:
        `images`, how many different ones, and `sample`, the smallest of their hashes.
    """
    hashes = _hashes(table)
    return {"images": len(hashes), "sample": " ".join(hashes[:SAMPLE])}


def share_seen(record: Mapping[str, Any], table: pa.Table) -> float:
    """Which share of some images a network has learned from, as far as its bundle can tell.

    Args:
        record: of the bundle; one without `seen` knows nothing.
        table: rows of a manifest.

    Returns:
        A share, 0-1; 0 too where nothing is known.
    """
    known = record.get("seen") or {"images": 0, "sample": ""}
    sample = str(known["sample"]).split()
    if not sample:
        return 0.0
    is_all = known["images"] == len(sample)
    comparable = [one for one in _hashes(table) if is_all or one <= sample[-1]]
    return len({*comparable} & {*sample}) / len(comparable) if comparable else 0.0


def _hashes(table: pa.Table) -> list[str]:
    """Of each different image one, ascending."""
    names = identities(table.select(["uri", "offset", "content_hash", "etag"]).to_pandas())
    return sorted({hashlib.sha256(f"seen:{n}".encode()).hexdigest()[:_DIGITS] for n in names})
