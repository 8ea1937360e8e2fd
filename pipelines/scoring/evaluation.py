"""Evaluation: score a labelled split and measure it, with bootstrap intervals."""

import dataclasses
from typing import Any

import numpy as np

from model import baselines
from model.bundle import Bundle
from model.calibration import AGE_BINS
from model.errors import ManifestError, UsageError
from model.metrics import Estimate
from pipelines import storage
from pipelines.manifests import manifest
from pipelines.manifests.ingest import ingest
from pipelines.manifests.leakage import share_seen
from pipelines.manifests.options import IngestOptions
from pipelines.manifests.sources.rows import Rows
from pipelines.manifests.splits import pictures_shown
from pipelines.predictions import figures, labelling, layout, schemas
from pipelines.scoring import run
from pipelines.scoring.job import prepare
from pipelines.scoring.options import EvaluateOptions, ScoreOptions
from pipelines.scoring.run import Scored
from pipelines.storage import tables
from pipelines.telemetry.phases import phase, run_id


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

    metrics: dict[str, Estimate]
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
    ingested = ingest(IngestOptions(uri, labels=options.labels, label_format=options.label_format))
    return Rows(uri, manifest.labelled(ingested.table, None))


def evaluate(options: ScoreOptions, bundle: Bundle, labelled: Rows) -> Evaluation:
    """Score labelled rows and compare with their labels.

    Args:
        options: of the scoring; below its output there will be predictions/, quarantine/,
            evaluation.parquet and metrics.json.
        bundle: the network.
        labelled: rows of a manifest, see `manifest.labelled`.

    Raises:
        UsageError: images with several labels are to be read as wholes.
        ManifestError: not one of the images could be scored.
    """
    options, labelled = _of_one_kind(options, labelled)
    kind: Any = options.faces
    job = prepare(options, bundle, labelled)
    rows, output, reading = labelled.table, job.output, job.reading
    scored = run.score(job)
    predicted = schemas.read_predictions(output)
    if not predicted.num_rows:
        raise ManifestError(f"none of the {rows.num_rows} images could be scored: see {output}")
    with phase("measure") as facts:
        table = labelling.with_labels(predicted, rows)
        tables.write_table(layout.path(output, layout.EVALUATION), table)
        measured = table.filter(labelling.has_label(table))
        shown = dict(zip(rows["uri"].to_pylist(), pictures_shown(rows), strict=True))
        images = np.array([shown[uri] for uri in measured["uri"].to_pylist()])
        known = figures.of_table(measured, AGE_BINS[reading.age_bins], images)
        estimates = figures.estimates(known) | figures.coverage(known)
        constant = figures.constants(known)
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
            "views": options.network.tta,
            "age_bins": reading.age_bins,
            "interval": "bootstrap 95 %, percentile",
            "metrics": figures.plain(estimates),
            "constants": dataclasses.asdict(constant),
        },
    )
    note = baselines.no_better(estimates, constant)
    return Evaluation(estimates, scored, rows.num_rows, measured.num_rows, note, seen, ranges)


def _of_one_kind(options: ScoreOptions, labelled: Rows) -> tuple[ScoreOptions, Rows]:
    """Whether labels are of images or of faces in them, and those that are.

    Raises:
        UsageError: see `evaluate`.
    """
    if options.faces == "auto":
        found = manifest.has_faces(labelled.table)
        options = dataclasses.replace(options, faces="detect" if found else "crop")
    kind: Any = options.faces
    labelled = dataclasses.replace(labelled, table=manifest.of_kind(labelled.table, kind))
    names = labelled.table["uri"]
    if kind == "crop" and (more := len(names) - len(names.unique())):
        raise UsageError(
            "`faces` crop takes each image as one face, and the labels in "
            f"{labelled.uri} outnumber its images by {more:,}: give `faces` detect"
        )
    return options, labelled
