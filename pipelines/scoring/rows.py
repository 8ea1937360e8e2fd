"""Manifest rows -> prediction and quarantine rows, in this process: fetch, decode, network."""

import importlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from model.bundle import Bundle
from model.calibration import Reading
from model.predictor import Precision, Predictor
from model.runtime import import_tensorflow
from model.statistics import image_statistics
from model.views import Views
from pipelines.images.batches import DecodeEntries, decode_entries, rejection
from pipelines.predictions import schemas
from pipelines.predictions.schemas import predictions_table
from pipelines.storage import listing, tables

BATCH_IMAGES = 64  # the fastest of 32 to 256, if by 2 % (docs/benchmarks/scoring.md)
_DEFAULT = Reading()


def score_entries(
    entries: list[dict[str, Any]],
    predictor: Predictor,
    reading: Reading = _DEFAULT,
    decode: DecodeEntries = decode_entries,
    told: Callable[[int], None] | None = None,
    by_name: bool = True,
) -> tuple[pa.Table, pa.Table]:
    """Score manifest rows.

    Args:
        entries: rows with uri and maybe offset, bytes.
        predictor: the network.
        reading: coverage of the age interval, binning of the age groups.
        decode: `decode_entries`, or the same with a guard around the decoder or elsewhere.
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
            rejection(entry, "list", "not_an_image_name", "the name has no image suffix")
            for entry in entries
            if not listing.has_image_name(entry["uri"])
        ]
        entries = [entry for entry in entries if listing.has_image_name(entry["uri"])]
    for batch in decode(entries, predictor.bundle.input, predictor.batch_size):
        rejected += batch.rejected
        if batch.uris:
            columns = predictor.predict(batch.pixels) | image_statistics(batch.pixels)
            parts.append(
                predictions_table(batch.uris, batch.sizes, columns, predictor.bundle, reading)
            )
        if told is not None:
            told(len(batch.uris) + len(batch.rejected))
    quarantine = pa.Table.from_pylist(rejected, schema=schemas.QUARANTINE_SCHEMA)
    scored = tables.concat(parts, schemas.PREDICTIONS_SCHEMA).unify_dictionaries()
    return scored, quarantine


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
