"""The network that is trained on every label, and what the folds say in its place.

Beside each label it learns what the fold that did not see the image says of it, half and half:
such answers are as honest about the images that it learns from as about any others.
Nothing that this network has seen can measure or calibrate it. Its figures are those of the
recipe, cross-validated; its calibration is fitted on the folds' answers, as CV+ does (Barber,
Candes, Ramdas & Tibshirani 2021, "Predictive inference with the jackknife+"); whether its int8
network may be used is judged by those of the folds.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from model.errors import UsageError
from model.heads import Head
from pipelines import storage
from pipelines.bundles.calibrating import FromFolds
from pipelines.images.pixel_cache import CachedPixels
from pipelines.manifests.manifest import BOX
from pipelines.predictions import out_of_fold
from pipelines.predictions.raw_predictions import REFERENCE, RawPredictions
from pipelines.storage.lease import Lease
from pipelines.training import layout
from pipelines.training.fold_figures import Measured
from pipelines.training.plan import Plan, Trained, plan_of, with_splits
from pipelines.training.run import SharedFoldState, run

ASSUMPTION = (
    "CV+ (Barber et al. 2021): the errors of the folds' networks on images that they were not "
    "trained on are taken to be distributed like those of the final network on new images. That "
    "network was trained on more images, so its errors should be no larger and its intervals "
    "should hold at least as often; no image here can measure that."
)


def train_final(
    lease: Lease, whole: Plan, cpus: int | None, pixels: CachedPixels | None, known: Measured
) -> Trained:
    """Train one network on every labelled image, for as long as the folds agree on.

    Args:
        lease: of the output.
        whole: the run with folds, which are done.
        cpus: cores of each worker; see `train`.
        pixels: of all rows of its table; None where it is trained already.
        known: from the folds.

    Raises:
        UsageError: the folds know none of these images: they have been moved.
        FacemillError: see `train`.
    """
    job = whole.job
    recipe = dataclasses.replace(job.recipe, epochs=known.record["epochs"]["agreed"])
    final = dataclasses.replace(
        job, output=storage.join(job.output, layout.FINAL), recipe=recipe, part="final",
        validated=False, start=job.start and job.start.of(layout.FINAL),
    )  # fmt: skip
    table = with_splits(whole.table, ["train"] * whole.table.num_rows)
    folds = out_of_fold.raw_predictions(known.rows, recipe.kept_heads)
    taught = taught_by(folds, table, recipe.heads)
    if taught and all(np.isnan(values).all() for values in taught.values()):
        raise UsageError(
            f"the folds in `output` {job.output} have predictions for other uris than the "
            f"manifest's, such as {known.rows['uri'][0]}: put the images where they were, or give "
            "another `output`"
        )
    record = {
        "metrics": {"cross_validated": known.record["metrics"]},
        "constants": {"cross_validated": known.record["constants"]},
        "cross_fitting": {
            "final": True,
            "folds": job.options.cross_validation.folds,
            "images": known.record["images"],
            "bundles": known.record["bundles"],
            "taught": sorted(_outputs(folds.outputs[REFERENCE], recipe.kept_heads)),
            "assumption": ASSUMPTION,
        },
    }
    from_folds = FromFolds(folds, whole.fingerprint, record)
    shared = SharedFoldState(pixels, from_folds=from_folds, taught=taught)
    return run(plan_of(final, table), lease, cpus, shared)


def taught_by(folds: RawPredictions, table: pa.Table, heads: Sequence[Head]) -> dict[str, Any]:
    """What the folds say of each image, as a network's outputs.

    Args:
        folds: out-of-fold predictions.
        table: labelled rows of a manifest.
        heads: of the network that is to learn it.

    Returns:
        Head name -> float32 (rows of the table, head.width); NaN where no fold has answered: an
        image in none of them, or one that cannot be decoded. A head whose output the rows do not
        hold is absent.
    """
    names = ["uri", *BOX]
    there = folds.rows.select(names).to_pandas().drop_duplicates().reset_index(names="place")
    merged = table.select(names).to_pandas().merge(there, how="left", on=names)
    place = merged["place"].to_numpy(float)
    known = ~np.isnan(place)
    taught = dict[str, Any]()
    for name, values in _outputs(folds.outputs[REFERENCE], heads).items():
        taught[name] = np.full((table.num_rows, values.shape[1]), np.nan, np.float32)
        taught[name][known] = values[place[known].astype(int)]
    return taught


def _outputs(columns: Mapping[str, Any], heads: Sequence[Head]) -> dict[str, Any]:
    """Columns as the heads' outputs, (n, head.width) each."""
    outputs = dict[str, Any]()
    for head in heads:
        if head.label == "gender" and "p_female" in columns:
            female = columns["p_female"][:, None]
            both = np.hstack([1.0 - female, female])
            outputs[head.name] = female if head.kind == "binary" else both
        elif head.kind == "distribution" and "age_distribution" in columns:
            outputs[head.name] = columns["age_distribution"]
        elif (head.label, head.kind) == ("age_years", "value") and "age_years" in columns:
            outputs[head.name] = columns["age_years"][:, None]
    return outputs
