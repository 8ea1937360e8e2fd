"""What out-of-fold rows say: figures over all labels, by subgroup, and against another recipe's."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model import baselines, labels, metrics, quality
from model.heads import Head
from model.metrics import Estimate
from model.recipes import Recipe
from pipelines import storage
from pipelines.manifests.splits import pictures_shown
from pipelines.predictions import out_of_fold
from pipelines.storage import tables
from pipelines.telemetry.phases import run_id
from pipelines.training import layout
from pipelines.training.claim import Trained, TrainingJob
from pipelines.training.comparing import (
    OLD_ENOUGH,
    PART_RANGE,
    answers_in,
    compared,
    gender_hit,
)

Floats = npt.NDArray[np.floating[Any]]
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
    age, female = (out_of_fold.truth(once, name) for name in ("age_years", "gender"))
    constant = baselines.constants(age, female, out_of_fold.bins_of(heads) or labels.DECADES)
    record: dict[str, Any] = {
        "format": 1,
        "run_id": run_id(),
        "recipe": job.recipe.name,
        "bundles": [one.bundle_id for one in trained],
        "epochs": {
            "best": [one.best_epoch for one in trained],
            "agreed": agreed_epochs([one.history for one in trained], job.recipe),
        },
        **figures(once, heads),
        "constants": dataclasses.asdict(constant),
    }
    if found.num_rows:
        record["found"] = figures(found, heads)
    uri = storage.join(job.output, layout.METRICS)
    if storage.exists(uri) and (before := tables.read_json(uri).get("compared")):
        record["compared"] = before
    if job.options.cross_fitting.compare:
        place = storage.normalize(job.options.cross_fitting.compare)
        record["compared"] = compared(rows, tables.read_table(answers_in(place)), place)
    tables.write_json(uri, record)
    return Measured(rows, record)


def agreed_epochs(histories: Sequence[Sequence[Mapping[str, float]]], recipe: Recipe) -> int:
    """The number of epochs with the least mean validation loss over the folds.

    Only epochs that every fold has reached, and of pictures of full size, are compared.

    Args:
        histories: a row an epoch, of each fold.
        recipe: of all of them.
    """
    reached = min(len(history) for history in histories)
    losses = np.array([[row["val_loss"] for row in history[:reached]] for history in histories])
    full = np.array([recipe.side_at(epoch) is None for epoch in range(reached)])
    mean = losses.mean(axis=0)
    return int(np.where(full, mean, np.inf).argmin() if full.any() else mean.argmin()) + 1


def figures(table: pa.Table, heads: Sequence[Head]) -> dict[str, Any]:
    """Everything that metrics.json says of the rows, each figure with its 95 % interval.

    Args:
        table: of `OUT_OF_FOLD_SCHEMA`, calibrated.
        heads: of the networks.

    Returns:
        `metrics` over all labels; `ages_21_60`; `ages_11_up`, gender alone; `by` age, gender and
        race, cells of `quality.cells`; `folds`, what each holds.
    """
    age = out_of_fold.truth(table, "age_years")
    whole = np.ones(table.num_rows, dtype=bool)
    part = (age >= PART_RANGE[0]) & (age <= PART_RANGE[1])
    old = _measured(table, age >= OLD_ENOUGH, heads)
    return {
        "images": table.num_rows,
        "interval": "bootstrap 95 %, percentile; of coverage Wilson's",
        "metrics": _plain(_measured(table, whole, heads)),
        "ages_21_60": _plain(_measured(table, part, heads)),
        "ages_11_up": _plain({n: e for n, e in old.items() if n.startswith("gender")}),
        "by": _by_group(table),
        "folds": balance(table),
    }


def _measured(table: pa.Table, rows: Bools, heads: Sequence[Head]) -> dict[str, Estimate]:
    """All metrics of some rows, with the coverage of their intervals."""
    some = table.filter(pa.array(rows))
    if not some.num_rows:
        return {}
    bins = out_of_fold.bins_of(heads) or labels.DECADES
    columns = {
        "age_years": some["age_years"].to_numpy(),
        "p_female": some["p_female"].to_numpy(),
        "age_group": out_of_fold.codes(some["age_group"], labels.bin_names(bins)),
    }
    age, female = (out_of_fold.truth(some, name) for name in ("age_years", "gender"))
    estimates = metrics.measure(columns, age, female, bins, pictures_shown(some))
    covered = _covered(some)
    if (known := ~np.isnan(covered)).any():
        estimates["age_coverage"] = quality.share(covered[known] > 0.5)
    return estimates


def _covered(table: pa.Table) -> Floats:
    """Whether each interval holds the labelled age: 1, 0, or NaN where one of them is missing."""
    age = out_of_fold.truth(table, "age_years")
    low, high = (table[name].to_numpy() for name in ("age_low_years", "age_high_years"))
    inside = (low <= age) & (age <= high)
    return np.where(np.isnan(age) | np.isnan(low), np.nan, inside)


def _by_group(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """Cells of each age band, gender and race, the worst first."""
    columns = {
        "age_error": table["age_years"].to_numpy() - out_of_fold.truth(table, "age_years"),
        "gender_hit": gender_hit(table),
        "covered": _covered(table),
    }
    return {
        name: [
            {**dataclasses.asdict(cell), "small": cell.small}
            for cell in quality.cells(columns, {name: values})
        ]
        for name, values in _groups(table).items()
    }


def _groups(table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    """The age band, gender and race of each row as text, '' where unknown."""
    age = out_of_fold.truth(table, "age_years")
    bands = np.array(labels.bin_names(labels.DECADES))
    band = bands[labels.bin_of(np.nan_to_num(age), labels.DECADES)]
    texts = {
        name: np.array([value or "" for value in table[column].to_pylist()], dtype=str)
        for name, column in (("gender", "true_gender"), ("race", "race"))
    }
    return {"age": np.where(np.isnan(age), "", band), **texts}


def balance(table: pa.Table) -> list[dict[str, Any]]:
    """What each fold holds: images, and their shares by age band, gender and race."""
    folds = table["fold"].to_numpy()
    groups = _groups(table)
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
    """The largest difference of a group's share between two folds, in words.

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


def _plain(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: dataclasses.asdict(value) for name, value in estimates.items()}


def note_of(record: Mapping[str, Any]) -> str:
    """Where the folds are no better than a constant: a sentence, or ''.

    Args:
        record: metrics.json.
    """
    estimates = {name: Estimate(**value) for name, value in record["metrics"].items()}
    return baselines.no_better(estimates, baselines.Constants(**record["constants"]))
