"""What out-of-fold rows say: figures over all labels, by subgroup, and against another recipe's."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from model import baselines, labels
from model.errors import UsageError
from model.heads import Head
from model.metrics import Estimate, bootstrap_weights, estimate_mean
from model.recipes import Recipe
from pipelines import storage
from pipelines.manifests import manifest
from pipelines.manifests.leakage import told
from pipelines.manifests.manifest import BOX
from pipelines.predictions import figures, out_of_fold
from pipelines.predictions.figures import LabelledRows
from pipelines.predictions.raw_predictions import bins_of
from pipelines.storage import tables
from pipelines.telemetry.phases import run_id
from pipelines.training import layout
from pipelines.training.job import TrainingJob
from pipelines.training.plan import Trained

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]
_KEY = ["uri", *BOX]
# Figures of papers on UTKFace are mostly on these ages alone (CORAL's split): kept apart.
PART_RANGE = (21, 60)
OLD_ENOUGH = 11  # of younger children even people see the gender badly


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
    groups = figures.groups(figures.of_table(table))
    frame = pd.DataFrame(groups).replace("", None)
    by_fold: Any = frame.groupby(table["fold"].to_numpy())
    return [
        {
            "fold": int(index),
            "images": len(part),
            **{
                name: part[name].value_counts(normalize=True).sort_index().round(4).to_dict()
                for name in groups
            },
        }
        for index, part in by_fold
    ]


def uneven(folds: Sequence[Mapping[str, Any]]) -> str:
    """The largest difference of a group's share between two folds, as text.

    Args:
        folds: of `balance`.
    """
    spreads = {"none": 0.0}
    for group in ("age", "gender", "race"):
        shares: Any = pd.DataFrame([fold[group] for fold in folds]).fillna(0.0)
        for name in sorted(shares):
            low, high = shares[name].min(), shares[name].max()
            spreads[f"{group} {name}, {low:.1%} to {high:.1%}"] = high - low
    return max(spreads, key=spreads.__getitem__)


def note_of(record: Mapping[str, Any]) -> str:
    """Where the folds are no better than a constant: a sentence, or ''.

    Args:
        record: metrics.json.
    """
    estimates = {name: Estimate(**value) for name, value in record["metrics"].items()}
    return baselines.no_better(estimates, baselines.Constants(**record["constants"]))


def require_comparable(job: TrainingJob, measured: pa.Table) -> None:
    """Say before hours of training that there is nothing to compare with.

    Args:
        job: with `compare`, or there is nothing to check.
        measured: the images that are to be answered, rows of the manifest.

    Raises:
        UsageError: `compare` names neither a run with folds that is done nor an evaluation, or one
            of other images.
    """
    if job.options.cross_validation.compare:
        place = storage.normalize(job.options.cross_validation.compare)
        theirs = tables.read_table(answers_in(place), ["uri"])
        if not {*theirs["uri"].to_pylist()} & {*measured["uri"].to_pylist()}:
            raise UsageError(_nothing_alike(place))


def _nothing_alike(place: str) -> str:
    return (
        f"`compare` {place} has no image of the same uri and label as this run: give the `output` "
        "of jobs.cross_validate on the same manifest"
    )


def answers_in(place: str) -> str:
    """The file of a run's answers to images that it did not learn from."""
    storage.require_readable(place, "`compare`")
    folds, evaluation = (storage.join(place, n) for n in (layout.OUT_OF_FOLD, layout.EVALUATION))
    if storage.exists(folds):
        return folds
    if not storage.exists(evaluation):
        raise UsageError(
            f"`compare` {place} has neither {layout.OUT_OF_FOLD} nor {layout.EVALUATION}: give the "
            "`output` of jobs.cross_validate, once all folds are done, or of jobs.evaluate"
        )
    if seen := tables.read_json(storage.join(place, layout.METRICS)).get("seen"):
        raise UsageError(
            f"`compare` {place} evaluated a network on images of which {told(seen)} were in its "
            "training data: give an evaluation on images that it was not trained on"
        )
    return evaluation


def compared(ours: pa.Table, theirs: pa.Table, place: str) -> dict[str, Any]:
    """The difference between two recipes, image by image: ours minus theirs.

    Args:
        ours: of `OUT_OF_FOLD_SCHEMA`.
        theirs: likewise.
        place: of theirs, for errors.

    Returns:
        `images`, one of each label, and of all, of ages 21 to 60 and of 11 and up the mean
        difference of the absolute age error (years) and of the share of right genders, each with
        its paired bootstrap 95 % interval; `age_mae` below 0 and `gender_accuracy` above 0 are in
        favour of ours.

    Raises:
        UsageError: the two share no image with the same label.
    """
    names = [*_KEY, "true_age_years", "true_gender", "age_years", "p_female"]
    left, right = (table.select(names).to_pandas() for table in (ours, theirs))
    for frame, table in ((left, ours), (right, theirs)):
        frame["hit"] = figures.of_table(table).gender_hit
        frame["true_gender"] = frame["true_gender"].astype(object)
    both: Any = left.merge(right, on=[*_KEY, "true_age_years", "true_gender"])
    if both.empty:
        raise UsageError(_nothing_alike(place))
    both = both[~manifest.labelled_already(pa.Table.from_pandas(both[_KEY], preserve_index=False))]
    age = both["true_age_years"].to_numpy(float)
    error = [np.abs(both[f"age_years_{side}"].to_numpy(float) - age) for side in "xy"]
    columns = {
        "age_mae": error[0] - error[1],
        "gender_accuracy": both["hit_x"].to_numpy(float) - both["hit_y"].to_numpy(float),
    }
    part = (age >= PART_RANGE[0]) & (age <= PART_RANGE[1])
    return {
        "with": place,
        "images": len(both),
        "all": _differences(columns, np.ones(len(both), dtype=bool)),
        "ages_21_60": _differences(columns, part),
        "ages_11_up": _differences(columns, age >= OLD_ENOUGH),
    }


def _differences(columns: Mapping[str, Floats], rows: Bools) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, values in columns.items():
        known = values[rows & ~np.isnan(values)]
        if len(known):
            weights = bootstrap_weights(len(known), seed=0)
            result[name] = dataclasses.asdict(estimate_mean(known, weights))
    return result
