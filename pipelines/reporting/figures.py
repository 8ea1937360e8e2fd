"""The report's figures, as plain data: what was scored, how sure, how good, how far it drifted."""

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from model import quality, statistics
from model.errors import UsageError
from pipelines import storage
from pipelines.predictions import prediction_files
from pipelines.predictions.prediction_files import PredictionFiles
from pipelines.predictions.run_record import OTHER_FILE, WITHOUT_A_FACE
from pipelines.reporting import face_bins, label_figures, label_join, summary
from pipelines.reporting.options import ReportOptions
from pipelines.reporting.summary import Summary
from pipelines.storage import tables
from pipelines.telemetry.phases import phase

_DETAIL = ("recipe", "history")  # of bundle.json: the model card's part, not the report's


def collect(options: ReportOptions) -> dict[str, Any]:
    """All figures, as jobs.report writes them as JSON.

    Raises:
        UsageError: nothing to report, mixed bundles, or labels that match nothing.
    """
    source = prediction_files.find_predictions(options.require_predictions())
    with phase("summarise") as facts:
        totals = summary.summarise(source, options.by)
        facts["rows"], facts["files"] = totals.rows, len(source.files)
    _require_reportable(source, totals, options.allow_mixed)
    run = dict(prediction_files.lineage(source))
    bundle = _bundle_record(source)
    counts = _counts(source, totals, run)
    return {
        "format": 1,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "predictions": source.uri,
        "run": run,
        "bundle": {name: value for name, value in bundle.items() if name not in _DETAIL},
        "unit": "faces" if totals.faces else "images",  # what a row is, and is counted as below
        "counts": counts,
        "faces": _faces(totals, counts),
        **_readings(totals),
        "quality": _quality(source, options),
        "drift": _drift(options.reference, totals, bundle),
    }


def _require_reportable(source: PredictionFiles, totals: Summary, allow_mixed: bool) -> None:
    """Refuse rows of several bundles, unless they are allowed, and rows that say nothing.

    Raises:
        UsageError: which of both it is.
    """
    bundles = totals.count("bundles")
    if len(bundles) > 1 and not allow_mixed:
        shown = ", ".join(f"{name} ({rows:,} rows)" for name, rows in bundles.most_common())
        raise UsageError(
            f"`predictions` {source.uri} mixes {len(bundles)} bundles: {shown}; their "
            "figures do not compare: report on each alone, or give `allow_mixed`"
        )
    if not any(totals.known[name] for name in ("age_years", "p_female")):
        raise UsageError(
            f"`predictions` {source.uri}: no row has a usable age or gender, all are null or NaN"
        )


def _bundle_record(source: PredictionFiles) -> dict[str, Any]:
    """bundle.json of the copy that scoring left in its output, or nothing."""
    if source.root is None:
        return {}
    try:
        return tables.read_json(storage.join(source.root, "bundle", "bundle.json"))
    except FileNotFoundError:
        return {}


def _counts(source: PredictionFiles, totals: Summary, run: Mapping[str, Any]) -> dict[str, Any]:
    """Images, faces, inputs without a row by reason, and rows that repeat another's key."""
    reasons = run.get("quarantine_reasons")
    if reasons is None:
        reasons = _quarantine_reasons(source)
    faceless, others = reasons.get(WITHOUT_A_FACE, 0), reasons.get(OTHER_FILE, 0)
    quarantined = sum(reasons.values())
    return {
        "scored": totals.pictures,
        "faces": totals.faces if totals.faces else None,
        "faces_skipped": run.get("faces_skipped") if totals.faces else None,
        "without_a_face": faceless,
        "other_files": others,
        "failed": quarantined - faceless - others,
        "quarantined": quarantined,
        "quarantine_reasons": dict(reasons),
        "duplicate_uris": totals.duplicates,
        "duplicates_looked_at_one_in": totals.duplicates_share,
        "files": len(source.files),
    }


def _faces(totals: Summary, counts: Mapping[str, Any]) -> dict[str, Any] | None:
    """How many faces images show, how large and how turned they are; None of whole images."""
    if not totals.faces:
        return None
    seen = totals.pictures + counts["without_a_face"]
    low, high = quality.wilson(counts["without_a_face"], seen)
    share = counts["without_a_face"] / seen if seen else None
    return {
        "a_picture": _binned(face_bins.A_PICTURE, totals, "pictures"),
        "without_a_face": {"share": share, "low": low, "high": high, "pictures": seen},
        **{bins.column: _binned(bins, totals, "faces") for bins in face_bins.OF_FACES},
    }


def _binned(bins: face_bins.Bins, totals: Summary, unit: str) -> list[dict[str, Any]]:
    """How many are in each bin."""
    counts = totals.histogram(bins.column, len(bins.names))
    return [{"bin": name, unit: n} for name, n in zip(bins.names, counts, strict=True)]


def _quarantine_reasons(source: PredictionFiles) -> dict[str, int]:
    """Inputs by `stage: error`, counted from the quarantine of a run that has no run.json yet."""
    quarantine = summary.quarantine_of(source)
    query = "SELECT stage || ': ' || error, count(*) FROM rows GROUP BY 1"
    return dict(quarantine.execute(query).fetchall()) if quarantine else {}


def _readings(totals: Summary) -> dict[str, Any]:
    """What the network read: bundles, means, ages and genders, histograms, places."""
    return {
        "bundles": dict(totals.count("bundles")),
        "not_a_number": {name: rows for name, rows in totals.not_a_number.items() if rows},
        "means": {name: totals.mean(name) for name in summary.MEANS if totals.known[name]},
        "gender": _gender(totals),
        "people": [
            {"gender": gender, "age_years": age, "images": images}
            for (gender, age), images in sorted(totals.count("people").items())
        ],
        "age_groups": dict(totals.count("groups")),
        "histograms": totals.histograms,
        "places": _places(totals),
    }


def _gender(totals: Summary) -> dict[str, Any] | None:
    """Images read as female and male, and the share of female with its Wilson interval."""
    known = {name: totals.count("genders")[name] for name in ("female", "male")}
    images = sum(known.values())
    if not images:
        return None
    low, high = quality.wilson(known["female"], images)
    return {**known, "share_female": known["female"] / images, "low": low, "high": high}


def _places(totals: Summary) -> list[dict[str, Any]]:
    """Rows, mean age and share of female of the 50 largest places."""
    largest = sorted(totals.places.items(), key=lambda item: -item[1]["images"])[:50]
    return [
        {
            "place": place,
            "images": sums["images"],
            "pictures": sums["pictures"],
            **{name: sums[name] / sums["images"] for name in summary.PLACE_SUMS if name in sums},
        }
        for place, sums in largest
    ]


def _quality(source: PredictionFiles, options: ReportOptions) -> dict[str, Any] | None:
    """What labels say of the predictions, or None without labels."""
    if options.labels is None:
        return None
    with phase("labels"):
        labels = storage.normalize(options.labels)
        return label_figures.measure(label_join.join_labels(source, labels, options.split))


def _drift(uri: str | None, totals: Summary, bundle: Mapping[str, Any]) -> dict[str, Any] | None:
    """Every profiled column against the reference, or None where there is none.

    Args:
        uri: of other predictions, or None for the profile of the bundle.
        totals: of the predictions that are reported on.
        bundle: its record.

    Sizes of photos are not compared with sizes of images that were used as face crops.
    """
    if uri is not None:
        other = summary.summarise(prediction_files.find_predictions(uri), duplicates=False)
        against, reference, alike = uri, other.histograms, bool(other.faces) == bool(totals.faces)
    elif profile := bundle.get("profile"):
        against = "the bundle's own train and val images (outputs: val only)"
        if "out_of_fold" in profile:
            against = "the images that the bundle was trained on, as its folds predict them"
        reference, alike = _reference(profile), not totals.faces
    else:
        return None
    skipped = () if alike else summary.OF_PICTURES
    columns = [
        _column_drift(name, reference[name], totals.histograms[name])
        for name in (*statistics.INPUTS, *statistics.OUTPUTS)
        if name in reference and name in totals.histograms and name not in skipped
    ]
    rule = statistics.drift_rule()
    return {"against": against, "rule": rule, "skipped": [*skipped], "columns": columns}


def _column_drift(name: str, reference: Sequence[int], now: Sequence[int]) -> dict[str, Any]:
    """Distances between two histograms of one column, and the reference itself."""
    moved = statistics.drift(name, reference, now)
    return {
        **dataclasses.asdict(moved),
        "kind": "input" if name in statistics.INPUTS else "output",
        "reference": list(reference),
        "psi": _or_none(moved.psi),
        "ks": _or_none(moved.ks),
    }


def _reference(profile: Mapping[str, Any]) -> dict[str, list[int]]:
    """Inputs of all profiled splits together; outputs of those that were not learned from."""
    reference: dict[str, list[int]] = {}
    for name in statistics.EDGES:
        splits = [s for s in profile if s != "train" or name not in statistics.OUTPUTS]
        parts = [profile[split][name] for split in splits if name in profile.get(split, {})]
        if parts:
            reference[name] = [sum(counts) for counts in zip(*parts, strict=True)]
    return reference


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def as_json(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The same figures with NaN as null, which JSON knows."""

    def clean(value: Any) -> Any:
        if isinstance(value, float):
            return _or_none(value) if math.isfinite(value) else None
        if isinstance(value, dict):
            return {str(k): clean(v) for k, v in value.items()}  # type: ignore[misc]
        if isinstance(value, list | tuple):
            return [clean(item) for item in value]  # type: ignore[misc]
        return value

    return clean(dict(figures))
