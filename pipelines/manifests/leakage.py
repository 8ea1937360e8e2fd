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

from pipelines.manifests.splits import identities_of

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


def joined(one: Mapping[str, Any], other: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is kept of the images of two sketches: of a training, and of the weights it began with.

    Args:
        one: of `sketch`.
        other: likewise; None where nothing is known.

    Returns:
        As `sketch`; how many images are in both is estimated where the samples are not all.
    """
    if other is None:
        return dict(one)
    samples = [str(known["sample"]).split() for known in (one, other)]
    # Below the least of their ends, each sample has all hashes of its images.
    cut = [
        sample[-1]
        for known, sample in zip((one, other), samples, strict=True)
        if known["images"] > len(sample)
    ]
    mine, theirs = ({h for h in sample if not cut or h <= min(cut)} for sample in samples)
    new = len(theirs - mine) / len(theirs) if theirs else 1.0
    images = int(one["images"]) + round(new * int(other["images"]))
    return {"images": images, "sample": " ".join(sorted(mine | theirs)[:SAMPLE])}


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


def told(share: float) -> str:
    """A share above 0 in words."""
    return f"{share:.0%}" if share >= 0.01 else "less than 1%"


def _hashes(table: pa.Table) -> list[str]:
    """Of each different image one, ascending."""
    names = {*identities_of(table)}
    return sorted({hashlib.sha256(f"seen:{n}".encode()).hexdigest()[:_DIGITS] for n in names})
