"""Manifest rows -> prediction and quarantine rows, in this process: fetch, decode, network."""

import dataclasses
import functools
import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model.bundle import Bundle
from model.calibration import Reading
from model.errors import DecodeError
from model.predictor import Precision, Predictor
from model.preprocessing import InputSpec, decode_image
from model.runtime import import_tensorflow
from model.statistics import image_statistics
from model.views import Views
from pipelines import listing, predictions, tables
from pipelines.fetching import ReadFailure, fetch_all
from pipelines.isolation import Decode
from pipelines.predictions import predictions_table

BATCH_IMAGES = 64  # the fastest of 32 to 256, if by 2 % (docs/benchmarks/scoring.md)
_DEFAULT = Reading()


@dataclasses.dataclass(frozen=True)
class Decoded:
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


Batches = Callable[[list[dict[str, Any]], InputSpec, int], Iterator[Decoded]]


def decoded_by(decode: Decode) -> Batches:
    """`decode_entries` with another decoder."""
    return functools.partial(decode_entries, decode=decode)


def decode_entries(
    entries: list[dict[str, Any]], spec: InputSpec, batch_size: int, decode: Decode = decode_image
) -> Iterator[Decoded]:
    """Fetch and decode manifest rows, in order, in this process.

    Args:
        entries: rows with uri and maybe offset, bytes.
        spec: what the network takes.
        batch_size: images of each batch; the last has what is left, maybe none.
        decode: `decode_image`, or the same with a guard around it.

    Raises:
        OSError: the store is ill; no row is made of it.
    """
    batch = _empty_batch(spec, batch_size)
    for entry, data in zip(entries, fetch_all(entries), strict=True):
        if isinstance(data, ReadFailure):
            batch.rejected.append(_reject(entry, "read", data.reason, str(data)))
            continue
        try:
            image = decode(data, spec)
        except DecodeError as error:
            entry = entry | {"bytes": len(data)}
            batch.rejected.append(_reject(entry, "decode", error.reason, str(error)))
            continue
        batch.pixels[len(batch.uris)] = image.pixels
        batch.uris.append(entry["uri"])
        batch.sizes.append((image.width, image.height))
        if len(batch.uris) == batch_size:
            yield batch
            batch = _empty_batch(spec, batch_size)
    yield dataclasses.replace(batch, pixels=batch.pixels[: len(batch.uris)])


def _empty_batch(spec: InputSpec, batch_size: int) -> Decoded:
    return Decoded(np.empty((batch_size, *spec.shape), dtype=np.uint8), [], [], [])


def score_entries(
    entries: list[dict[str, Any]],
    predictor: Predictor,
    reading: Reading = _DEFAULT,
    batches: Batches = decode_entries,
    told: Callable[[int], None] | None = None,
    by_name: bool = True,
) -> tuple[pa.Table, pa.Table]:
    """Score manifest rows.

    Args:
        entries: rows with uri and maybe offset, bytes.
        predictor: the network.
        reading: coverage of the age interval, binning of the age groups.
        batches: `decode_entries`, or the same with a guard around the decoder or elsewhere.
        told: is called with the rows of each batch once they are scored.
        by_name: leave out, as rows of the quarantine, what is not named like an image: right for a
            listing, and not for inputs that somebody chose one by one.

    Returns:
        (predictions, quarantine): each entry is one row of exactly one of them.

    Raises:
        OSError: the store is ill; no row is made of it.
    """
    rejected, parts = list[dict[str, Any]](), list[pa.Table]()
    if by_name:
        rejected += [
            _reject(entry, "list", "not_an_image_name", "the name has no image suffix")
            for entry in entries
            if not listing.has_image_name(entry["uri"])
        ]
        entries = [entry for entry in entries if listing.has_image_name(entry["uri"])]
    for batch in batches(entries, predictor.bundle.input, predictor.batch_size):
        rejected += batch.rejected
        if batch.uris:
            columns = predictor.predict(batch.pixels) | image_statistics(batch.pixels)
            parts.append(
                predictions_table(batch.uris, batch.sizes, columns, predictor.bundle, reading)
            )
        if told is not None:
            told(len(batch.uris) + len(batch.rejected))
    quarantine = pa.Table.from_pylist(rejected, schema=predictions.QUARANTINE_SCHEMA)
    scored = tables.concat(parts, predictions.PREDICTIONS_SCHEMA).unify_dictionaries()
    return scored, quarantine


def _reject(entry: Mapping[str, Any], stage: str, error: str, message: str) -> dict[str, Any]:
    """A row of `QUARANTINE_SCHEMA`."""
    known = {"uri": entry["uri"], "bytes": entry.get("bytes")}
    return {**known, "stage": stage, "error": error, "message": message}


def import_network_libraries() -> None:
    """Import TensorFlow and Keras now, so that a caller can tell what that costs."""
    import_tensorflow()
    importlib.import_module("keras")


def score_pictures(
    paths: list[str], bundle: Bundle, precision: Precision, views: Views = 1
) -> Iterator[str]:
    """A line for each picture, `one.jpg  male (97 %)  24 years`, without starting Ray."""
    predictor = Predictor(bundle, precision, min(len(paths), BATCH_IMAGES), views=views)
    width = max(len(os.path.basename(path)) for path in paths)
    for path in paths:
        entry = {"uri": path, "bytes": None, "offset": None}
        scored, rejected = score_entries([entry], predictor, by_name=False)
        name = f"{os.path.basename(path):<{width}}"
        if rejected.num_rows:
            row = rejected.to_pylist()[0]
            yield f"{name}  not scored: {row['message']}"
            continue
        row, parts = scored.to_pylist()[0], list[str]()
        if row["p_female"] is not None:
            sure = max(row["p_female"], 1 - row["p_female"])
            parts.append(f"{row['gender']} ({100 * sure:.0f} %)")
        if row["age_years"] is not None:
            parts.append(f"{row['age_years']:.0f} years")
        yield "  ".join([name, *parts])
