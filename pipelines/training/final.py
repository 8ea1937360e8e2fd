"""What the folds say of a recipe, and the network that is then trained on every label.

Nothing that this network has seen can measure or calibrate it. Its figures are those of the
recipe, cross-validated; its calibration is fitted on the folds' answers, as CV+ does (Barber,
Candes, Ramdas & Tibshirani 2021, "Predictive inference with the jackknife+").
"""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from model import calibration, statistics
from model.calibration import Reading
from pipelines import storage
from pipelines.images.pixel_cache import CachedPixels
from pipelines.manifests import manifest
from pipelines.predictions import out_of_fold
from pipelines.storage.lease import Lease
from pipelines.training import layout
from pipelines.training.claim import Trained, TrainingJob
from pipelines.training.fold_figures import Measured
from pipelines.training.run import Together, train_under

ASSUMPTION = (
    "CV+ (Barber et al. 2021): what the folds' networks say of images that they did not see is "
    "taken to be spread as what the final network says of new ones. That network saw more images, "
    "so its errors should be no larger and its intervals hold at least as often; no image here can "
    "measure that."
)


def train_final(
    lease: Lease,
    job: TrainingJob,
    table: pa.Table,
    cpus_per_worker: int,
    pixels: CachedPixels | None,
    known: Measured,
) -> Trained:
    """Train one network on every labelled image, for as long as the folds agree on.

    Args:
        lease: of the output.
        job: whose folds are done.
        table: all labelled images.
        cpus_per_worker: cores of each worker, where the options leave that open.
        pixels: of all rows of the table; None where it is trained already.
        known: from the folds.

    Raises:
        FacemillError: see `train`.
    """
    recipe = dataclasses.replace(job.recipe, epochs=known.record["epochs"]["agreed"])
    output = storage.join(job.output, layout.FINAL)
    final = dataclasses.replace(job, output=output, recipe=recipe, part="final", validated=False)
    kind = table.schema.field("split")
    every = pa.array(["train"] * table.num_rows).dictionary_encode().cast(kind.type)
    whole = table.set_column(table.column_names.index("split"), kind, every)
    together = Together(pixels, from_folds=_from_folds(job, known, manifest.fingerprint(table)))
    return train_under(lease, final, whole, cpus_per_worker, together)


def _from_folds(job: TrainingJob, known: Measured, fingerprint: str) -> dict[str, Any]:
    """Calibration, drift profile and figures for bundle.json, all of them out of fold."""
    rows, heads = known.rows, job.recipe.kept_heads
    columns = out_of_fold.raw_columns(rows)
    age, female = (out_of_fold.truth(rows, name) for name in ("age_years", "gender"))
    fitted = calibration.fit(columns, age, female)
    fitted |= {"split": "out_of_fold", "manifest_fingerprint": fingerprint}
    pictures = {
        name: rows[name].to_numpy().astype(np.float64)
        for name in ("width", "height", "brightness", "contrast", "sharpness")
    }
    calibrated = calibration.apply(columns, fitted, Reading(), heads)
    counts = statistics.profile(pictures | calibrated)
    return {
        "calibration": fitted,
        "profile": {"out_of_fold": {"images": rows.num_rows, **counts}},
        "metrics": {"cross_validated": known.record["metrics"]},
        "constants": {"cross_validated": known.record["constants"]},
        "cross_fitting": {
            "final": True,
            "folds": job.options.cross_fitting.folds,
            "images": rows.num_rows,
            "bundles": known.record["bundles"],
            "assumption": ASSUMPTION,
        },
    }
