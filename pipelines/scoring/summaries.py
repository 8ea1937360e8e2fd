"""Summaries of a scoring run, for people: (title, rows of name and value)."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from model.backends.selection import Compute
from model.bundle import Bundle
from pipelines.manifests.leakage import told
from pipelines.predictions import layout
from pipelines.predictions.dataset import Partitioning, describe
from pipelines.predictions.run_record import LOST_PLACE, NO_FAILURES
from pipelines.scoring.evaluation import Evaluation
from pipelines.scoring.job import Job
from pipelines.scoring.plan import Plan
from pipelines.scoring.preview import preview
from pipelines.scoring.run import Scored

Summary = tuple[str, list[tuple[str, object]]]

_PERCENT = {
    "age_within_5", "gender_accuracy", "age_group_exact", "age_group_one_off", "age_in_range",
    "age_range_one_off",
}  # fmt: skip
_NAMES = {
    "age_mae": "age MAE, years",
    "age_rmse": "age RMSE, years",
    "age_bias": "age bias, years",
    "age_within_5": "age within 5 years",
    "age_group_exact": "age group exact",
    "age_group_one_off": "... or the next one",
    "age_in_range": "age in labelled range",
    "age_range_one_off": "... or the next one",
    "gender_accuracy": "gender accuracy",
    "gender_auc": "gender AUC",
}


def of_plan(planned: Plan) -> Summary:
    """What `dry_run` found."""
    job, plan = planned.job, preview(planned)
    more = "" if plan.inputs_exact else "more than "
    device = job.options.resources.device
    return (
        "dry run: nothing was started or written",
        [
            ("state", plan.state),
            ("inputs", f"{more}{plan.inputs:,}, {plan.pending_inputs:,} to score"),
            ("shards", f"{more}{plan.shards:,}, {plan.pending_shards:,} to score"),
            ("bundle", f"{job.bundle.name} ({job.bundle.id})"),
            ("faces", plan.faces),
            ("network", plan.compute),
            ("device", device if device != "auto" else "gpu where the cluster has one, else cpu"),
            ("output", job.output),
        ],
    )


def of_run(scored: Scored, job: Job) -> Summary:
    """What was scored, how fast, where it is."""
    record, bundle, output = scored.record, job.bundle, job.output
    speed = record.get("images_per_s")
    newly_scored = record["inputs"] - scored.skipped
    rate = ""
    if newly_scored and speed:
        rate = f": {record['start_up_s']:,.1f} s start-up, then {speed:,.0f} images/s"
    skipped = f"; {scored.skipped:,} already done" if scored.skipped else ""
    rows = layout.PREDICTIONS if record["scored"] else layout.QUARANTINE
    code = f"import pandas; print(pandas.read_parquet({json.dumps(f'{output}/{rows}')}))"
    return (
        f"scored with {bundle.name} ({bundle.id})",
        [
            ("inputs", f"{record['inputs']:,}{skipped}"),
            ("network", Compute.of(record).words),
            *_grown(scored),
            *_excluded(record, job),
            *_scored(record),
            *_not_scored(record),
            ("time", f"{scored.seconds:,.1f} s{rate}"),
            ("output", output),
            ("next", f"python -c {shlex.quote(code)}"),
            ("please note", "estimates, not for age gating, identity or decisions about people"),
        ],
    )


def _excluded(record: Mapping[str, Any], job: Job) -> list[tuple[str, object]]:
    excluded = record.get("excluded", 0)
    why = "by `exclude`" if job.options.exclude else "empty lines of the list, or repeated ones"
    return [("excluded", f"{excluded:,} {why}")] if excluded else []


def _scored(record: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Images, and the faces in them where they were looked for."""
    if record.get("faces", "crop") == "crop":
        return [("scored", f"{record['scored']:,}")]
    skipped = record["faces_skipped"]
    more = f"; {skipped:,} more skipped as too small or too many" if skipped else ""
    return [("scored", f"{record['scored']:,}"), ("faces", f"{record['rows']:,}{more}")]


def _not_scored(record: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Images of nobody and files beside images, each told apart from what failed."""
    reasons = dict(record["quarantine_reasons"])
    faceless, others = (reasons.pop(name, 0) for name in NO_FAILURES)
    listed = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    rows: list[tuple[str, object]] = []
    if record.get("faces", "crop") == "detect":
        rows.append(("without a face", f"{faceless:,}"))
    if others:
        rows.append(("other files", f"{others:,}, skipped: no image suffix"))
    if lost := reasons.get(LOST_PLACE, 0):
        rows.append(("not listed", f"{lost:,} folders or archives: their images are left out"))
    failed = f"{sum(reasons.values()):,}" + (f" ({listed})" if listed else "")
    return [*rows, ("quarantined", failed)]


def _grown(scored: Scored) -> list[tuple[str, object]]:
    if scored.growth is None:
        if scored.skipped < scored.record["inputs"]:
            return []
        return [("note", "images added since that run are scored with `on_existing` update")]
    growth = scored.growth
    gone = f"{growth.deleted:,} deleted" + (f" ({layout.DELETED})" if growth.deleted else "")
    return [("since last run", f"{growth.added:,} new, {growth.changed:,} changed, {gone}")]


def of_data_set(record: dict[str, Any], partitioning: Partitioning, output: str) -> Summary:
    """How the predictions were laid out once more."""
    rows: list[tuple[str, object]] = [("rows", f"{record['rows']:,} in {describe(record)}")]
    if partitioning.levels:
        rows.append(("partitions", ", ".join(partitioning.levels)))
    return "data set", [*rows, ("output", layout.path(output, layout.DATASET))]


def of_evaluation(evaluation: Evaluation, bundle: Bundle, output: str) -> Summary:
    """The metrics of a labelled split."""
    record = evaluation.scored.record
    labelled: list[tuple[str, object]] = []
    if evaluation.labels != evaluation.measured:
        text = f"{evaluation.measured:,} of {evaluation.labels:,} match a predicted face"
        labelled.append(("labels", text))
    if evaluation.ranges:
        text = f"{evaluation.ranges:,} labels, excluded from the mean absolute error"
        labelled.append(("age ranges", text))
    share = evaluation.seen
    beside = (
        f"  too good: the network was trained on {told(share)} of these images" if share else ""
    )
    figures = [
        (title, value.text(4 if name == "gender_auc" else 2, percent=name in _PERCENT) + beside)
        for name, title in _NAMES.items()
        if (value := evaluation.metrics.get(name))
    ]
    return (
        f"evaluated {bundle.name} ({bundle.id})",
        [
            ("images", f"{record['scored']:,} scored, {record['quarantined']:,} quarantined"),
            *labelled,
            *figures,
            ("", "in brackets: bootstrap 95 % interval"),
            *([("note", evaluation.note)] if evaluation.note else []),
            ("output", output),
        ],
    )
