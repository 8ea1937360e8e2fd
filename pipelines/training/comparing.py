"""Two recipes beside each other, image by image, on what neither has seen."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model.errors import UsageError
from model.metrics import bootstrap_weights, estimate_mean
from pipelines import storage
from pipelines.manifests import manifest
from pipelines.manifests.leakage import told
from pipelines.manifests.manifest import BOX
from pipelines.predictions import figures
from pipelines.storage import tables
from pipelines.training import layout
from pipelines.training.claim import TrainingJob

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]
_KEY = ["uri", *BOX]
# Figures of papers on UTKFace are mostly on these ages alone (CORAL's split): kept apart.
PART_RANGE = (21, 60)
OLD_ENOUGH = 11  # of younger children even people see the gender badly


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
