"""Summaries of a cross-validation, for people: rows of name and value."""

from collections.abc import Mapping
from typing import Any

from model.metrics import Estimate
from pipelines import storage
from pipelines.training import fold_figures, layout
from pipelines.training.folds import CrossFitted, FoldsPlan
from pipelines.training.job import TrainingJob
from pipelines.training.summary import Rows, cost, of_recipe, rejected

_SHOWN = {
    "age_mae": "age MAE, years",
    "age_coverage": "interval holds",
    "gender_accuracy": "gender accuracy",
}


def of_plan(planned: FoldsPlan) -> Rows:
    """What `dry_run` of a cross-validation found."""
    whole = planned.whole
    return [
        ("labelled images", f"{whole.table.num_rows:,}"),
        *((one.job.part, one.state) for one in planned.folds),
        *of_recipe(whole.job),
        ("output", whole.job.output),
    ]


def of_run(job: TrainingJob, fitted: CrossFitted) -> Rows:
    """What the folds say over all labels, and where things are."""
    record, epochs = fitted.record, fitted.record["epochs"]
    trained = [*fitted.trained, *([fitted.final] if fitted.final else [])]
    best = ", ".join(map(str, epochs["best"]))
    note = fold_figures.note_of(record)
    final = fitted.final
    return [
        (
            "labelled images",
            f"{record['images']:,}, each predicted by a network that was not trained on it",
        ),
        ("folds", f"{len(fitted.trained)}; least balanced: {fold_figures.uneven(record['folds'])}"),
        *_figures(record["metrics"], ""),
        *_figures(record["ages_21_60"], ", ages 21-60"),
        *_figures(record["ages_11_up"], ", ages 11 and up"),
        *(_figures(record["found"]["metrics"], ", detected faces") if "found" in record else []),
        ("", "in brackets: 95 % interval"),
        *([("note", note)] if note else []),
        *_compared(record.get("compared")),
        ("epochs", f"best {best}; lowest mean val loss over all folds: {epochs['agreed']}"),
        ("cost", cost(job, trained)),
        *rejected(fitted.already_done, fitted.rejects),
        ("predictions", storage.join(job.output, layout.OUT_OF_FOLD)),
        *([("final bundle", f"{final.bundle_uri} ({final.bundle_id})")] if final else []),
    ]


def _figures(measured: Mapping[str, Any], of: str) -> Rows:
    return [
        (f"{title}{of}", Estimate(**measured[name]).text(percent=name != "age_mae"))
        for name, title in _SHOWN.items()
        if name in measured
    ]


def _compared(compared: Mapping[str, Any] | None) -> Rows:
    """Differences to another run, ours minus theirs."""
    if compared is None:
        return []
    rows: Rows = [
        ("compared with", f"{compared['with']}, on {compared['images']:,} images, paired")
    ]
    for name, unit, scale in (("age_mae", "years", 1.0), ("gender_accuracy", "points", 100.0)):
        if value := compared["all"].get(name):
            mean, low, high = (scale * value[key] for key in ("value", "low", "high"))
            text = f"{mean:+.3f} {unit} ({low:+.3f} to {high:+.3f})"
            rows.append((f"  {_SHOWN[name].partition(',')[0]}", text))
    return rows
