"""Manifest rows -> prediction and quarantine rows, in this process: fetch, decode, network."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from model.calibration import Reading
from model.predictor import Predictor
from model.statistics import image_statistics
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
    on_batch: Callable[[int], None] | None = None,
    by_name: bool = True,
) -> tuple[pa.Table, pa.Table]:
    """Score manifest rows.

    Args:
        entries: rows with uri and maybe offset, bytes.
        predictor: the network.
        reading: coverage of the age interval, binning of the age groups.
        decode: `decode_entries`, or the same with a guard around the decoder or elsewhere.
        on_batch: is called with the rows of each batch once they are scored.
        by_name: leave out, as rows of the quarantine, what is not named like an image: right for a
            listing, and not for inputs that somebody chose one by one.

    Returns:
        (predictions, quarantine): each entry is one row of exactly one of them.

    Raises:
        OSError: the store fails; no row is made of that.
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
            columns = predictor.answers(batch.pixels, reading) | image_statistics(batch.pixels)
            bundle_id = predictor.bundle.id
            parts.append(
                predictions_table(batch.uris, batch.sizes, columns, bundle_id, reading.age_bins)
            )
        if on_batch is not None:
            on_batch(len(batch.uris) + len(batch.rejected))
    quarantine = pa.Table.from_pylist(rejected, schema=schemas.QUARANTINE_SCHEMA)
    scored = tables.concat(parts, schemas.PREDICTIONS_SCHEMA).unify_dictionaries()
    return scored, quarantine
