"""Fetches and decodes batches of entries in this process; what fails becomes rows."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import DecodeError
from model.preprocessing import InputSpec, decode_image
from pipelines.images.guarded_decoder import Decode
from pipelines.storage.fetching import ReadFailure, fetch_all


@dataclasses.dataclass(frozen=True)
class DecodedBatch:
    """A batch on its way to the network: n images, and what could not be read or decoded.

    Attributes:
        pixels: uint8 (n, height, width, channels).
        uris: n of them.
        sizes: (width, height) of each upright picture, pixels.
        rejected: rows of `QUARANTINE_SCHEMA`.
    """

    pixels: npt.NDArray[np.uint8]
    uris: list[str]
    sizes: list[tuple[int, int]]
    rejected: list[dict[str, Any]]


# (manifest rows, what the network takes, images a batch) -> decoded batches, in order
DecodeEntries = Callable[[list[dict[str, Any]], InputSpec, int], Iterator[DecodedBatch]]


def decode_entries_with(decode: Decode) -> DecodeEntries:
    """`decode_entries` with another decoder."""
    return functools.partial(decode_entries, decode=decode)


def decode_entries(
    entries: list[dict[str, Any]], spec: InputSpec, batch_size: int, decode: Decode = decode_image
) -> Iterator[DecodedBatch]:
    """Fetch and decode manifest rows, in order, in this process.

    Args:
        entries: rows with uri and maybe offset, bytes.
        spec: what the network takes.
        batch_size: images of each batch; the last has what is left, maybe none.
        decode: `decode_image`, or the same with a guard around it.

    Raises:
        OSError: the store fails; no row is made of that.
    """
    batch = _empty_batch(spec, batch_size)
    for entry, data in zip(entries, fetch_all(entries), strict=True):
        if isinstance(data, ReadFailure):
            batch.rejected.append(rejection(entry, "read", data.reason, str(data)))
            continue
        try:
            image = decode(data, spec)
        except DecodeError as error:
            entry = entry | {"bytes": len(data)}
            batch.rejected.append(rejection(entry, "decode", error.reason, str(error)))
            continue
        batch.pixels[len(batch.uris)] = image.pixels
        batch.uris.append(entry["uri"])
        batch.sizes.append((image.width, image.height))
        if len(batch.uris) == batch_size:
            yield batch
            batch = _empty_batch(spec, batch_size)
    yield dataclasses.replace(batch, pixels=batch.pixels[: len(batch.uris)])


def _empty_batch(spec: InputSpec, batch_size: int) -> DecodedBatch:
    return DecodedBatch(np.empty((batch_size, *spec.shape), dtype=np.uint8), [], [], [])


def rejection(entry: Mapping[str, Any], stage: str, error: str, message: str) -> dict[str, Any]:
    """A row of the quarantine: `predictions.schemas.QUARANTINE_SCHEMA`."""
    known = {"uri": entry["uri"], "bytes": entry.get("bytes")}
    return {**known, "stage": stage, "error": error, "message": message}
