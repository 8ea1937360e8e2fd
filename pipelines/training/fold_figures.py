"""What out-of-fold rows say: figures over all labels, by subgroup, and against another recipe's."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model import baselines, labels
from model.heads import Head
from model.metrics import Estimate
from model.recipes import Recipe
from pipelines import storage
from pipelines.predictions import figures, out_of_fold
from pipelines.predictions.figures import LabelledRows
from pipelines.predictions.raw_predictions import bins_of
from pipelines.storage import tables
from pipelines.telemetry.phases import run_id
from pipelines.training import layout
from pipelines.training.claim import Trained, TrainingJob
from pipelines.training.comparing import (
    OLD_ENOUGH,
    PART_RANGE,
    answers_in,
    compared,
)

Bools = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the folds say of a recipe.

    Attributes:
        rows: of `OUT_OF_FOLD_SCHEMA`, of all labelled images.
        record: metrics.json.
    """

    rows: pa.Table
    record: Mapping[str, Any]


def measure_folds(job: TrainingJob, rows: pa.Table, trained: Sequence[Trained]) -> Measured:
    """Measure all out-of-fold rows and write metrics.json.

    Raises:
        UsageError: `compare` names a run of other images.
    """
    heads = job.recipe.kept_heads
    once, found = out_of_fold.apart(rows)
    bins = bins_of(heads) or labels.DECADES
    constant = figures.constants(figures.of_table(once, bins))
    record: dict[str, Any] = {
        "format": 1,
        "run_id": run_id(),
        "recipe": job.recipe.name,
        "bundles": [one.bundle_id for one in trained],
        "epochs": {
            "best": [one.best_epoch for one in trained],
            "agreed": agreed_epochs([one.history for one in trained], job.recipe),
        },
        **fold_figures(once, heads),
        "constants": dataclasses.asdict(constant),
    }
    if found.num_rows:
        record["found"] = fold_figures(found, heads)
    uri = storage.join(job.output, layout.METRICS)
    if storage.exists(uri) and (before := tables.read_json(uri).get("compared")):
        record["compared"] = before
    if job.options.cross_validation.compare:
        place = storage.normalize(job.options.cross_validation.compare)
        record["compared"] = compared(rows, tables.read_table(answers_in(place)), place)
    tables.write_json(uri, record)
    return Measured(rows, record)


def agreed_epochs(histories: Sequence[Sequence[Mapping[str, float]]], recipe: Recipe) -> int:
    """The number of epochs with the least mean validation loss over the folds.

    Only epochs that every fold has reached, and of images of full size, are compared.

    Args:
        histories: a row an epoch, of each fold.
        recipe: of all of them.
    """
    reached = min(len(history) for history in histories)
    losses = np.array([[row["val_loss"] for row in history[:reached]] for history in histories])
    full = np.array([recipe.side_at(epoch) is None for epoch in range(reached)])
    mean = losses.mean(axis=0)
    return int(np.where(full, mean, np.inf).argmin() if full.any() else mean.argmin()) + 1


def fold_figures(table: pa.Table, heads: Sequence[Head]) -> dict[str, Any]:
    """Everything that metrics.json says of the rows, each figure with its 95 % interval.

    Args:
        table: of `OUT_OF_FOLD_SCHEMA`, calibrated.
        heads: of the networks.

    Returns:
        `metrics` over all labels; `ages_21_60`; `ages_11_up`, gender alone; `by` age, gender and
        race, cells of `quality.cells`; `folds`, what each holds.
    """
    rows = figures.of_table(table, bins_of(heads) or labels.DECADES)
    age = rows["true_age_years"]
    part = (age >= PART_RANGE[0]) & (age <= PART_RANGE[1])
    old = _measured(rows, age >= OLD_ENOUGH)
    return {
        "images": table.num_rows,
        "interval": "bootstrap 95 %, percentile; of coverage Wilson's",
        "metrics": _measured(rows, np.ones(len(rows), dtype=bool)),
        "ages_21_60": _measured(rows, part),
        "ages_11_up": {name: e for name, e in old.items() if name.startswith("gender")},
        "by": {
            name: [figures.as_json(cell) for cell in figures.cells(rows, {name: values})]
            for name, values in figures.groups(rows).items()
        },
        "folds": balance(table),
    }


def _measured(rows: LabelledRows, some: Bools) -> dict[str, Any]:
    """All metrics of some rows, with the coverage of their intervals."""
    part = rows.where(some)
    return figures.plain(figures.estimates(part) | figures.coverage(part)) if len(part) else {}


def balance(table: pa.Table) -> list[dict[str, Any]]:
    """What each fold holds: images, and their shares by age band, gender and race."""
    folds = table["fold"].to_numpy()
    groups = figures.groups(figures.of_table(table))
    return [
        {
            "fold": int(index),
            "images": int((folds == index).sum()),
            **{name: _shares(values[folds == index]) for name, values in groups.items()},
        }
        for index in np.unique(folds)
    ]


def _shares(values: npt.NDArray[Any]) -> dict[str, float]:
    known = values[values != ""]
    return {str(name): round(float((known == name).mean()), 4) for name in np.unique(known)}


def uneven(folds: Sequence[Mapping[str, Any]]) -> str:
    """The largest difference of a group's share between two folds, as text.

    Args:
        folds: of `balance`.
    """
    worst = (0.0, "")
    for group in ("age", "gender", "race"):
        for name in sorted({name for fold in folds for name in fold[group]}):
            shares = [fold[group].get(name, 0.0) for fold in folds]
            spread = max(shares) - min(shares)
            if spread > worst[0]:
                worst = (spread, f"{group} {name}, {min(shares):.1%} to {max(shares):.1%}")
    return worst[1] or "none"


def note_of(record: Mapping[str, Any]) -> str:
    """Where the folds are no better than a constant: a sentence, or ''.

    Args:
        record: metrics.json.
    """
    estimates = {name: Estimate(**value) for name, value in record["metrics"].items()}
    return baselines.no_better(estimates, baselines.Constants(**record["constants"]))
