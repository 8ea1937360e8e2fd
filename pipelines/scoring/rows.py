"""Manifest rows -> prediction and quarantine rows, in this process: fetch, decode, network."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from model.calibration import Reading
from model.predictor import Predictor
from model.statistics import image_statistics
from pipelines.images.batches import (
    NO_IMAGE_NAME,
    NOT_LISTED,
    DecodeEntries,
    decode_entries,
    rejection,
)
from pipelines.predictions import schemas
from pipelines.predictions.schemas import predictions_table
from pipelines.storage import listing, tables

BATCH_IMAGES = 64  # the fastest of 32 to 256, if by 2 % (docs/benchmarks/scoring.md)
_DEFAULT = Reading()


@dataclasses.dataclass(frozen=True)
class ScoredEntries:
    """What became of some inputs: each has rows of exactly one of the two tables.

    Attributes:
        predictions: a row an image, or a row a face; those of an image follow one another.
        quarantine: one row an input.
        pictures: inputs with predictions.
        skipped: faces that an option left out.
    """

    predictions: pa.Table
    quarantine: pa.Table
    pictures: int
    skipped: int


def score_entries(
    entries: list[dict[str, Any]],
    predictor: Predictor,
    reading: Reading = _DEFAULT,
    decode: DecodeEntries = decode_entries,
    on_batch: Callable[[int], None] | None = None,
    by_name: bool = True,
    columns: Sequence[str] = schemas.COLUMNS,
) -> ScoredEntries:
    """Score manifest rows.

    Args:
        entries: rows with uri and maybe offset, bytes.
        predictor: the network.
        reading: coverage of the age interval, binning of the age groups.
        decode: `decode_entries`, or the same for faces, with a guard around it, or elsewhere.
        on_batch: is called with the inputs that are done with each batch.
        by_name: leave out, as rows of the quarantine, what is not named like an image: right for a
            listing, and not for inputs that somebody chose one by one.
        columns: of the predictions.

    Raises:
        OSError: the store fails; no row is made of that.
    """
    rejected, parts = list[dict[str, Any]](), list[pa.Table]()
    pictures = skipped = 0
    if by_name:
        rejected += [
            _no_image(entry) for entry in entries if not listing.has_image_name(entry["uri"])
        ]
        entries = [entry for entry in entries if listing.has_image_name(entry["uri"])]
    for batch in decode(entries, predictor.bundle.input, predictor.batch_size):
        rejected += batch.rejected
        pictures, skipped = pictures + batch.pictures, skipped + batch.skipped
        if batch.crops:
            answers = predictor.answers(batch.pixels, reading) | image_statistics(batch.pixels)
            named = (predictor.bundle.id, reading.age_bins, columns)
            parts.append(predictions_table(batch.crops, answers, *named))
        if on_batch is not None:
            on_batch(batch.inputs)
    quarantine = pa.Table.from_pylist(rejected, schema=schemas.QUARANTINE_SCHEMA)
    scored = tables.concat(parts, schemas.schema_of(columns)).unify_dictionaries()
    return ScoredEntries(scored, quarantine, pictures, skipped)


def _no_image(entry: dict[str, Any]) -> dict[str, Any]:
    """The row of an entry that is not named like an image."""
    why = listing.why_gap(entry["uri"])
    if why is not None:
        return rejection(entry, "list", NOT_LISTED, why)
    return rejection(entry, "list", NO_IMAGE_NAME, "the name has no image suffix")
