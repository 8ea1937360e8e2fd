"""Evaluation: score a labelled split and measure it, with bootstrap intervals."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from model import age_ranges, baselines, labels, metrics
from model.bundle import Bundle
from model.calibration import AGE_BINS, Reading
from model.errors import ManifestError, UsageError
from model.faces.face import Face
from pipelines import storage
from pipelines.manifests import manifest
from pipelines.manifests.faces import main_face, overlapping
from pipelines.manifests.ingest import ingest
from pipelines.manifests.options import IngestOptions
from pipelines.manifests.seen import share_seen
from pipelines.manifests.sources.rows import Rows
from pipelines.manifests.splits import pictures_shown
from pipelines.predictions import layout, schemas
from pipelines.scoring import run
from pipelines.scoring.claim import resolve
from pipelines.scoring.options import EvaluateOptions, ScoreOptions
from pipelines.scoring.run import Scored
from pipelines.storage import tables
from pipelines.telemetry.phases import phase, run_id

EVALUATION_SCHEMA = pa.schema(
    [
        *schemas.PREDICTIONS_SCHEMA,
        tables.field("true_age_years", pa.float32(), "labelled age; null of a range", "years"),
        tables.field("true_age_low_years", pa.float32(), "lowest age of a range", "years"),
        tables.field("true_age_high_years", pa.float32(), "highest age of a range", "years"),
        tables.field("true_gender", pa.dictionary(pa.int8(), pa.string()), "labelled gender"),
        tables.field("race", pa.dictionary(pa.int8(), pa.string()), "labelled race"),
        tables.field("age_error_years", pa.float32(), "predicted minus labelled age", "years"),
        tables.field("gender_correct", pa.bool_(), "predicted gender is the labelled one"),
    ]
)


_RANGE = {"age_low_years": "true_age_low_years", "age_high_years": "true_age_high_years"}
_TRUTH = {"age_years": "true_age_years", **_RANGE, "gender": "true_gender", "race": "race"}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Metrics with intervals, and the scoring run behind them.

    Attributes:
        metrics: by name.
        scored: the run.
        labels: that there were.
        measured: of those with a prediction.
        note: where a constant is as good; else empty.
        seen: share of the images that the network has learned from, as far as its bundle can tell.
        ranges: labels among the measured whose age is a range: they are in no error in years.
    """

    metrics: dict[str, metrics.Estimate]
    scored: Scored
    labels: int
    measured: int
    note: str = ""
    seen: float = 0.0
    ranges: int = 0


def labelled_rows(options: EvaluateOptions) -> Rows:
    """The rows that the options name.

    Raises:
        ManifestError: there are none with a label.
        StorageError: they cannot be read.
    """
    if options.manifest is not None:
        uri = storage.normalize(options.manifest)
        table = manifest.read_manifest(uri, ["uri", "age_years", "gender", "split"])
        split = None if options.split == "all" else options.split
        return Rows(uri, manifest.labelled(table, split))
    uri = storage.normalize(str(options.images))
    ingested = ingest(IngestOptions(uri, labels=options.labels, labels_as=options.labels_as))
    return Rows(uri, manifest.labelled(ingested.table, None))


def evaluate(options: ScoreOptions, bundle: Bundle, labelled: Rows) -> Evaluation:
    """Score labelled rows and compare with their labels.

    Args:
        options: of the scoring; below its output there will be predictions/, quarantine/,
            evaluation.parquet and metrics.json.
        bundle: the network.
        labelled: rows of a manifest, see `manifest.labelled`.

    Raises:
        UsageError: pictures with several labels are to be read as wholes.
        ManifestError: not one of the images could be scored.
    """
    options, labelled = _of_one_kind(options, labelled)
    kind: Any = options.faces
    job = resolve(options, bundle, labelled)
    rows = labelled.table
    output, reading = job.settings.output, job.settings.reading
    scored = run.score(options, bundle, labelled)
    predicted = schemas.read_predictions(output)
    if not predicted.num_rows:
        raise ManifestError(f"none of the {rows.num_rows} images could be scored: see {output}")
    with phase("measure") as facts:
        table = _joined(predicted, rows) if kind == "whole" else _joined_faces(predicted, rows)
        tables.write_table(layout.path(output, layout.EVALUATION), table)
        measured = table.filter(_has_label(table))
        shown = dict(zip(rows["uri"].to_pylist(), pictures_shown(rows), strict=True))
        pictures = [shown[uri] for uri in measured["uri"].to_pylist()]
        estimates, constant = _measure(measured, reading, pictures)
        facts["images"] = measured.num_rows
    seen = share_seen(bundle.record, rows)
    ranges = measured.num_rows - measured["true_age_low_years"].null_count
    tables.write_json(
        layout.path(output, layout.METRICS),
        {
            "format": 1,
            "run_id": run_id(),
            "seen": round(seen, 4),
            "bundle_id": bundle.id,
            "bundle": bundle.name,
            "source": labelled.uri,
            "manifest_fingerprint": manifest.fingerprint(rows),
            "faces": kind,
            "labels": rows.num_rows,
            "images": measured.num_rows,
            "age_ranges": ranges,
            "quarantined": scored.record["quarantined"],
            "engine": scored.record["engine"],
            "precision": scored.record["precision"],
            "views": options.answers.views,
            "age_bins": reading.age_bins,
            "interval": "bootstrap 95 %, percentile",
            "metrics": {name: dataclasses.asdict(value) for name, value in estimates.items()},
            "constants": dataclasses.asdict(constant),
        },
    )
    note = baselines.no_better(estimates, constant)
    return Evaluation(estimates, scored, rows.num_rows, measured.num_rows, note, seen, ranges)


def _of_one_kind(options: ScoreOptions, labelled: Rows) -> tuple[ScoreOptions, Rows]:
    """Whether labels are of pictures or of faces in them, and those that are.

    Raises:
        UsageError: see `evaluate`.
    """
    if options.faces == "auto":
        found = manifest.has_faces(labelled.table)
        options = dataclasses.replace(options, faces="find" if found else "whole")
    kind: Any = options.faces
    labelled = dataclasses.replace(labelled, table=manifest.of_kind(labelled.table, kind))
    names = labelled.table["uri"]
    if kind == "whole" and (more := len(names) - len(names.unique())):
        raise UsageError(
            "`faces` whole reads a picture as one face, but the labels in "
            f"{labelled.uri} outnumber its pictures by {more:,}: give `faces` find"
        )
    return options, labelled


def _joined(predicted: pa.Table, rows: pa.Table) -> pa.Table:
    """Predictions beside labels, a row a picture: rows of `EVALUATION_SCHEMA`."""
    truth: Any = rows.select(["uri", *_TRUTH]).to_pandas().rename(columns=_TRUTH)
    joined: Any = predicted.to_pandas().merge(truth, on="uri", how="left", validate="one_to_one")
    return _with_errors(joined)


def _joined_faces(predicted: pa.Table, rows: pa.Table) -> pa.Table:
    """Predictions beside labels, a row a face; null beside bystanders, whom no label means.

    A label with a box belongs to the face that overlaps it best, one of a whole picture to its
    largest face if that is clearly the largest: see pipelines/manifests/faces.py.
    """
    joined: Any = predicted.to_pandas()
    faces = [
        Face(*box, points=(0.0,) * 10, score=1.0) for box in joined[list(manifest.BOX)].to_numpy()
    ]
    places = joined.groupby("uri", sort=False).indices
    joined[list(_TRUTH.values())] = None
    for label in rows.select(["uri", *manifest.BOX, *_TRUTH]).to_pylist():
        at = places.get(label["uri"], np.array([], dtype=int))
        box = [label[name] for name in manifest.BOX]
        of_picture = [faces[i] for i in at]
        face = main_face(of_picture) if None in box else overlapping(of_picture, box)
        if isinstance(face, Face):
            row = joined.index[at[of_picture.index(face)]]
            for name, column in _TRUTH.items():
                joined.at[row, column] = label[name]
    for name in ("true_age_years", *_RANGE.values()):
        joined[name] = joined[name].astype(float)
    return _with_errors(joined)


def _with_errors(joined: Any) -> pa.Table:
    is_range = joined["true_age_low_years"].notna()
    joined["true_age_years"] = joined["true_age_years"].mask(is_range)  # its middle is no label
    joined["age_error_years"] = joined["age_years"] - joined["true_age_years"]
    agree = joined["gender"].astype(object) == joined["true_gender"].astype(object)
    joined["gender_correct"] = agree.where(joined["gender"].notna() & joined["true_gender"].notna())
    return pa.Table.from_pandas(joined, schema=EVALUATION_SCHEMA, preserve_index=False)


def _has_label(table: pa.Table) -> Any:
    names = ("true_age_years", "true_age_low_years", "true_gender")
    return functools.reduce(pc.or_, [pc.is_valid(table[name]) for name in names])


def _measure(
    table: pa.Table, reading: Reading, pictures: Sequence[str] | None = None
) -> tuple[dict[str, metrics.Estimate], baselines.Constants]:
    """All metrics of an evaluation's rows, and what constants would score on them."""
    bins = AGE_BINS[reading.age_bins]
    columns = {
        "age_years": table["age_years"].to_numpy(),
        "p_female": table["p_female"].to_numpy(),
        "age_group": _codes(table["age_group"], labels.bin_names(bins)),
    }
    true_gender = _codes(table["true_gender"], labels.GENDERS)
    true_age = table["true_age_years"].to_numpy()
    estimates = metrics.measure(columns, true_age, true_gender, bins, pictures)
    low, high = (table[name].to_numpy() for name in _RANGE.values())
    estimates |= age_ranges.measure(columns["age_years"], low, high)
    constant = baselines.constants(true_age, true_gender, bins)
    return estimates, baselines.with_ranges(constant, low, high)


def _codes(column: Any, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The place of each value in `names`, NaN where null."""
    code = {name: float(index) for index, name in enumerate(names)}
    return np.array([code.get(value, np.nan) for value in column.to_pylist()])
