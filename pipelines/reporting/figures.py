"""The report's figures, as plain data: what was scored, how sure, how good, how far it drifted."""

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

from model import quality, statistics
from model.errors import UsageError
from pipelines import storage
from pipelines.predictions import prediction_files
from pipelines.predictions.prediction_files import PredictionFiles
from pipelines.reporting import label_figures, summary
from pipelines.reporting.summary import Summary
from pipelines.storage import tables
from pipelines.telemetry.phases import phase

_DETAIL = ("recipe", "history")  # of bundle.json: the model card's part, not the report's


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """What to report on.

    Attributes:
        predictions: URI of a scoring output.
        labels: manifest or CSV, or None.
        split: only this split of the manifest's labels.
        reference: URI of other predictions to measure drift against; None for the bundle's own
            profile.
        by: regular expression with a group, whose matches in the uri become a table.
        allow_mixed: report on rows of several bundles.
    """

    predictions: str
    labels: str | None = None
    split: str | None = None
    reference: str | None = None
    by: str | None = None
    allow_mixed: bool = False


def collect(options: ReportOptions) -> dict[str, Any]:
    """All figures, as they stand in --json.

    Raises:
        UsageError: nothing to report, mixed bundles, or labels that match nothing.
    """
    source = prediction_files.find_predictions(options.predictions)
    with phase("summarise") as facts:
        found = summary.summarise(source, options.by)
        facts["rows"], facts["files"] = found.rows, len(source.files)
    if len(found.bundles) > 1 and not options.allow_mixed:
        shown = ", ".join(f"{name} ({rows:,} rows)" for name, rows in found.bundles.most_common())
        raise UsageError(
            f"--predictions {source.uri} mixes {len(found.bundles)} bundles: {shown}; their "
            "figures do not compare: report on each alone, or give --allow-mixed"
        )
    measured = [name for name in ("age_years", "p_female") if name in source.columns]
    if not any(found.known[name] for name in measured):
        raise UsageError(
            f"--predictions {source.uri}: no row has a usable age or gender, all are null or NaN"
        )
    run = dict(prediction_files.lineage(source))
    bundle = _bundle_record(source)
    labelled = None
    if options.labels is not None:
        with phase("labels"):
            joined = label_figures.join_labels(
                source, storage.normalize(options.labels), options.split
            )
            labelled = label_figures.measure(joined)
    return {
        "format": 1,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "predictions": source.uri,
        "run": run,
        "bundle": {k: v for k, v in bundle.items() if k not in _DETAIL},
        "counts": _counts(source, found, run),
        "bundles": dict(found.bundles),
        "not_a_number": {name: n for name, n in found.not_a_number.items() if n},
        "means": {name: found.mean(name) for name in summary.MEANS if found.known[name]},
        "gender": _gender(found),
        "people": [
            {"gender": gender, "age_years": age, "images": n}
            for (gender, age), n in sorted(found.people.items())
        ],
        "age_groups": dict(found.groups),
        "histograms": found.histograms,
        "places": _places(found),
        "quality": labelled,
        "drift": _drift(options, found, bundle),
    }


def _bundle_record(source: PredictionFiles) -> dict[str, Any]:
    """bundle.json of the copy that scoring left in its output, or nothing."""
    if source.root is None:
        return {}
    try:
        return tables.read_json(storage.join(source.root, "bundle", "bundle.json"))
    except FileNotFoundError:
        return {}


def _counts(source: PredictionFiles, found: Summary, run: Mapping[str, Any]) -> dict[str, Any]:
    """Rows, quarantined by reason, duplicates; run.json's word where it is there."""
    reasons: dict[str, int] = dict(run.get("quarantine_reasons") or {})
    files = tables.list_parquet(storage.join(source.root, "quarantine")) if source.root else []
    if files and "quarantine_reasons" not in run:
        for file in files:
            for row in tables.read_table(file, ["stage", "error"]).to_pylist():
                key = f"{row['stage']}: {row['error']}"
                reasons[key] = reasons.get(key, 0) + 1
    return {
        "scored": found.rows,
        "quarantined": sum(reasons.values()),
        "quarantine_reasons": reasons,
        "duplicate_uris": found.duplicates,
        "duplicates_looked_at_one_in": found.duplicates_share,
        "files": len(source.files),
    }


def _gender(found: Summary) -> dict[str, Any] | None:
    known = {name: found.genders[name] for name in ("female", "male")}
    total = sum(known.values())
    if not total:
        return None
    low, high = quality.wilson(known["female"], total)
    return {**known, "share_female": known["female"] / total, "low": low, "high": high}


def _places(found: Summary) -> list[dict[str, Any]]:
    """Rows, mean age and share of female of the 50 largest places."""
    return [
        {
            "place": place,
            "images": rows,
            **{
                name: found.place_sums[place, name] / rows
                for name in ("age_years", "p_female")
                if (place, name) in found.place_sums
            },
        }
        for place, rows in found.places.most_common(50)
    ]


def _drift(
    options: ReportOptions, found: Summary, bundle: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Every profiled column against the reference, or None where there is none."""
    if options.reference is not None:
        other = summary.summarise(
            prediction_files.find_predictions(options.reference), duplicates=False
        )
        against, reference = options.reference, other.histograms
    elif profile := bundle.get("profile"):
        against = "the bundle's own train and val images (outputs: val only)"
        reference = _reference(profile)
    else:
        return None
    rows: list[dict[str, Any]] = []
    for name in (*statistics.INPUTS, *statistics.OUTPUTS):
        if name in reference and name in found.histograms:
            moved = statistics.drift(name, reference[name], found.histograms[name])
            kind = "input" if name in statistics.INPUTS else "output"
            rows.append(
                {**dataclasses.asdict(moved), "kind": kind, "reference": list(reference[name])}
                | {key: _or_none(getattr(moved, key)) for key in ("psi", "ks")}
            )
    return {"against": against, "rule": statistics.drift_rule(), "columns": rows}


def _reference(profile: Mapping[str, Any]) -> dict[str, list[int]]:
    """Inputs of all profiled splits together; outputs of val, which was not learned from."""
    reference: dict[str, list[int]] = {}
    for name in statistics.EDGES:
        splits = ["val"] if name in statistics.OUTPUTS else list(profile)
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
