"""The summary of a finished training run, for people."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from model.metrics import Estimate
from pipelines import storage
from pipelines.training import fold_figures, layout
from pipelines.training.claim import Trained, TrainingJob
from pipelines.training.folds import CrossFitted

_SHOWN = {
    "age_mae": "age MAE, years",
    "age_coverage": "interval holds",
    "gender_accuracy": "gender accuracy",
}


def summary(job: TrainingJob, trained: Trained, cpus: int) -> list[tuple[str, object]]:
    """Scores of the best epoch, speed, cost, and where things are: rows of name and value.

    Args:
        job: what was trained.
        trained: what it left.
        cpus: cores of each worker.
    """
    best = trained.history[trained.best_epoch - 1]
    epochs, planned = len(trained.history), job.recipe.epochs
    chosen = "best by val loss" if job.validated else "the last is kept"
    early = f" of {planned}, stopped early" if epochs < planned else ""
    seconds = sum(row["seconds"] for row in trained.history)
    waited = sum(row["seconds"] * row.get("data_wait_share", 0.0) for row in trained.history)
    speed = statistics.median(row["images_per_s"] for row in trained.history)
    return [
        ("epochs", f"{epochs}{early}, {chosen}: {best['epoch']:.0f}"),
        *((name, f"{value:.4f}") for name, value in best.items() if name.startswith("val_")),
        *([("note", trained.note)] if trained.note else []),
        ("speed", f"{speed:,.0f} images/s, {waited / seconds:.1%} of the time waiting for data"),
        ("cost", _cost(job, [trained], cpus)),
        *_rejected(trained.already_done, trained.rejects),
        ("bundle", f"{trained.bundle_uri} ({trained.bundle_id})"),
        ("curves", storage.join(job.output, layout.CURVES)),
    ]


def summary_of_folds(job: TrainingJob, fitted: CrossFitted, cpus: int) -> list[tuple[str, object]]:
    """What the folds say over all labels, and where things are: rows of name and value.

    Args:
        job: what was trained.
        fitted: what it left.
        cpus: cores of each worker.
    """
    record, epochs = fitted.record, fitted.record["epochs"]
    trained = [*fitted.trained, *([fitted.final] if fitted.final else [])]
    best = ", ".join(map(str, epochs["best"]))
    note = fold_figures.note_of(record)
    rows: list[tuple[str, object]] = [
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
        ("cost", _cost(job, trained, cpus)),
        *_rejected(fitted.already_done, fitted.rejects),
        ("predictions", storage.join(job.output, layout.OUT_OF_FOLD)),
    ]
    if fitted.final:
        rows.append(("final bundle", f"{fitted.final.bundle_uri} ({fitted.final.bundle_id})"))
    return rows


def _rejected(already_done: bool, rejects: Sequence[str]) -> list[tuple[str, object]]:
    """What could not be decoded; a run that was done before has not looked."""
    return [] if already_done else [("not decodable", f"{len(rejects)} images skipped")]


def _figures(measured: Mapping[str, Any], of: str) -> list[tuple[str, object]]:
    return [
        (f"{title}{of}", Estimate(**measured[name]).text(percent=name != "age_mae"))
        for name, title in _SHOWN.items()
        if name in measured
    ]


def _compared(compared: Mapping[str, Any] | None) -> list[tuple[str, object]]:
    """Differences to another run, ours minus theirs."""
    if compared is None:
        return []
    rows: list[tuple[str, object]] = [
        ("compared with", f"{compared['with']}, on {compared['images']:,} images, paired")
    ]
    for name, unit, scale in (("age_mae", "years", 1.0), ("gender_accuracy", "points", 100.0)):
        if value := compared["all"].get(name):
            mean, low, high = (scale * value[key] for key in ("value", "low", "high"))
            text = f"{mean:+.3f} {unit} ({low:+.3f} to {high:+.3f})"
            rows.append((f"  {_SHOWN[name].partition(',')[0]}", text))
    return rows


def _cost(job: TrainingJob, trained: Sequence[Trained], cpus: int) -> str:
    """Core or GPU hours of all training steps."""
    workers = job.options.workers
    # An elastic group may shrink; rows without `workers` had all of them.
    worked = sum(
        row["seconds"] * row.get("workers", workers.workers)
        for one in trained
        for row in one.history
    )
    unit = "GPU" if workers.use_gpu else "core"
    return f"{worked * (1 if workers.use_gpu else cpus) / 3600:.2f} {unit} hours of training steps"
