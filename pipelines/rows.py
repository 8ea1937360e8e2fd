"""Manifest rows -> prediction and quarantine rows, in this process: fetch, decode, network."""

import importlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from model.bundle import Bundle
from model.calibration import Reading
from model.errors import DecodeError
from model.predictor import Precision, Predictor
from model.preprocessing import decode_image
from model.runtime import import_tensorflow
from model.statistics import image_statistics
from pipelines import listing, predictions, tables
from pipelines.fetching import ReadFailure, fetch_all
from pipelines.isolation import Decode
from pipelines.predictions import predictions_table

BATCH_IMAGES = 64  # not tuned yet: benchmarks/scoring.py has to find the knee
_DEFAULT = Reading()


def score_entries(
    entries: list[dict[str, Any]],
    predictor: Predictor,
    reading: Reading = _DEFAULT,
    decode: Decode = decode_image,
) -> tuple[pa.Table, pa.Table]:
    """Score manifest rows in this process.

    Args:
        entries: rows with uri and maybe offset, bytes.
        predictor: the network.
        reading: coverage of the age interval, binning of the age groups.
        decode: `decode_image`, or the same with a guard around it.

    Returns:
        (predictions, quarantine): each entry is one row of exactly one of them.

    Raises:
        OSError: the store is ill; no row is made of it.
    """
    spec = predictor.bundle.input
    rejected, parts = list[dict[str, Any]](), list[pa.Table]()
    uris, sizes = list[str](), list[tuple[int, int]]()
    pixels = np.empty((predictor.batch_size, *spec.shape), dtype=np.uint8)

    def flush() -> None:
        if uris:
            batch = pixels[: len(uris)]
            columns = predictor.predict(batch) | image_statistics(batch)
            parts.append(predictions_table(uris, sizes, columns, predictor.bundle, reading))
            uris.clear()
            sizes.clear()

    named = [entry for entry in entries if listing.has_image_name(entry["uri"])]
    rejected += [
        _reject(entry, "list", "not_an_image_name", "the name has no image suffix")
        for entry in entries
        if not listing.has_image_name(entry["uri"])
    ]
    for entry, data in zip(named, fetch_all(named), strict=True):
        if isinstance(data, ReadFailure):
            rejected.append(_reject(entry, "read", data.reason, str(data)))
            continue
        try:
            image = decode(data, spec)
        except DecodeError as error:
            entry = entry | {"bytes": len(data)}
            rejected.append(_reject(entry, "decode", error.reason, str(error)))
            continue
        pixels[len(uris)] = image.pixels
        uris.append(entry["uri"])
        sizes.append((image.width, image.height))
        if len(uris) == predictor.batch_size:
            flush()
    flush()
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


def score_pictures(paths: list[str], bundle: Bundle, precision: Precision) -> Iterator[str]:
    """A line for each picture, `one.jpg  male (97 %)  24 years`, without starting Ray."""
    predictor = Predictor(bundle, precision, batch_size=min(len(paths), BATCH_IMAGES))
    width = max(len(os.path.basename(path)) for path in paths)
    for path in paths:
        entry = {"uri": path, "bytes": None, "offset": None}
        scored, rejected = score_entries([entry], predictor)
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
