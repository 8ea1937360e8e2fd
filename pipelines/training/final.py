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
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model import calibration, statistics
from model.backends.acceptance import MIN_IMAGES, compare, refusal
from model.backends.quantization import PICTURES
from model.bundle import Bundle
from model.calibration import Reading
from model.errors import UsageError
from model.heads import Head
from pipelines import storage
from pipelines.bundles.calibrating import LabelledImages, walk
from pipelines.bundles.networks import NOT_ASKED, make_networks
from pipelines.images.pixel_cache import CachedPixels
from pipelines.manifests import manifest, splits
from pipelines.manifests.manifest import BOX
from pipelines.predictions import out_of_fold
from pipelines.storage.lease import Lease
from pipelines.training import layout
from pipelines.training.claim import Trained, TrainingJob
from pipelines.training.fold_figures import Measured
from pipelines.training.run import SharedFoldState, train_under

ASSUMPTION = (
    "CV+ (Barber et al. 2021): the errors of the folds' networks on images that they were not "
    "trained on are taken to be distributed like those of the final network on new images. That "
    "network was trained on more images, so its errors should be no larger and its intervals "
    "should hold at least as often; no image here can measure that."
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
        UsageError: the folds know none of these images: they have been moved.
        FacemillError: see `train`.
    """
    recipe = dataclasses.replace(job.recipe, epochs=known.record["epochs"]["agreed"])
    output = storage.join(job.output, layout.FINAL)
    final = dataclasses.replace(
        job, output=output, recipe=recipe, part="final", validated=False,
        start=job.start and job.start.of(layout.FINAL),
    )  # fmt: skip
    kind = table.schema.field("split")
    every = pa.array(["train"] * table.num_rows).dictionary_encode().cast(kind.type)
    whole = table.set_column(table.column_names.index("split"), kind, every)
    taught = taught_by(known.rows, whole, recipe.heads)
    if taught and all(np.isnan(values).all() for values in taught.values()):
        raise UsageError(
            f"the folds in `output` {job.output} have predictions for other uris than the "
            f"manifest's, such as {known.rows['uri'][0]}: put the images where they were, or give "
            "another `output`"
        )
    from_folds = _from_folds(job, known, manifest.fingerprint(table))
    together = SharedFoldState(pixels, from_folds=from_folds, taught=taught)
    return train_under(lease, final, whole, cpus_per_worker, together)


def taught_by(rows: pa.Table, table: pa.Table, heads: Sequence[Head]) -> dict[str, Any]:
    """What the folds say of each image, as a network's outputs.

    Args:
        rows: out-of-fold rows.
        table: labelled rows of a manifest.
        heads: of the network that is to learn it.

    Returns:
        Head name -> float32 (rows of the table, head.width); NaN where no fold has answered: an
        image in none of them, or one that cannot be decoded. A head whose output the rows do not
        hold is absent.
    """
    names = ["uri", *BOX]
    there = rows.select(names).to_pandas().drop_duplicates().reset_index(names="place")
    merged = table.select(names).to_pandas().merge(there, how="left", on=names)
    place = merged["place"].to_numpy(float)
    known = ~np.isnan(place)
    taught = dict[str, Any]()
    for name, values in _outputs(out_of_fold.raw_columns(rows), heads).items():
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


def with_int8(bundle: Bundle, images: LabelledImages, folder: Path) -> Bundle | None:
    """A fold's bundle with its int8 network, also where its own val spoke against it.

    That val is a tenth of the images, too few to tell a loss of genders from chance; all folds
    together judge, so each of them has to answer.

    Args:
        bundle: as the fold's training left it.
        images: of that training.
        folder: gets the network if it has to be made once more.

    Returns:
        None where none was asked for or can be made, or there are too few labels to judge it.
    """
    told = bundle.record.get("int8", {})
    if "calibration" in told:
        return bundle
    labels = np.sum(~manifest.labelled_already(images.table))
    if told.get("refused") == NOT_ASKED or labels < MIN_IMAGES:
        return None
    return make_networks(bundle, walk(images, "train", {}, PICTURES).sample, folder).int8


def judged_by_folds(
    rows: pa.Table, fitted: Mapping[str, Any], calibrated: Mapping[str, Any], asked: bool
) -> dict[str, Any]:
    """What the folds' int8 networks say for the final one's: `int8` of bundle.json.

    Args:
        rows: out-of-fold rows.
        fitted: calibration of the float answers.
        calibrated: those answers, with it.
        asked: whether an int8 network is wanted.

    Returns:
        `changes` and, if it may be used, `calibration` and `moves`, the mean absolute change of
        each answer; else `refused`, why not.
    """
    if not asked:
        return {"refused": NOT_ASKED}
    columns = out_of_fold.int8_columns(rows)
    if columns is None:
        return {"refused": "not every fold has an int8 network to measure it by"}
    age, female = (out_of_fold.truth(rows, name) for name in ("age_years", "gender"))
    shown = splits.pictures_shown(rows)
    gender = calibration.fit(columns, age, female, pictures=shown)["gender"]
    own = {**fitted, "gender": gender}
    has_intervals = (own["age"] or {}).get("method") != "cqr" or "age_distribution" in columns
    changed = calibration.apply(columns, own if has_intervals else {"gender": gender}, Reading())
    once = ~manifest.labelled_already(rows)
    both = [
        {name: columns_of[name][once] for name in changed if name in calibrated}
        for columns_of in (calibrated, changed)
    ]
    change = compare(both[0], both[1], age[once], female[once])
    if refused := refusal(change, "out-of-fold images"):
        return {"changes": {"out_of_fold": change}, "refused": refused}
    raw = out_of_fold.raw_columns(rows)
    answers = [name for name in columns if name != "age_distribution"]
    moves = {name: float(np.abs(columns[name] - raw[name]).mean()) for name in answers}
    return {"changes": {"out_of_fold": change}, "calibration": own, "moves": moves}


def _from_folds(job: TrainingJob, known: Measured, fingerprint: str) -> dict[str, Any]:
    """Calibration, drift profile and figures for bundle.json, all of them out of fold."""
    rows, heads = known.rows, job.recipe.kept_heads
    columns = out_of_fold.raw_columns(rows)
    age, female = (out_of_fold.truth(rows, name) for name in ("age_years", "gender"))
    fitted = calibration.fit(columns, age, female, pictures=splits.pictures_shown(rows))
    fitted |= {"split": "out_of_fold", "manifest_fingerprint": fingerprint}
    pictures = {
        name: rows[name].to_numpy().astype(np.float64)
        for name in ("width", "height", "brightness", "contrast", "sharpness")
    }
    calibrated = calibration.apply(columns, fitted, Reading(), heads)
    counts = statistics.profile(pictures | calibrated)
    return {
        "int8": judged_by_folds(rows, fitted, calibrated, job.options.run.quantization == "int8"),
        "calibration": fitted,
        "profile": {"out_of_fold": {"images": rows.num_rows, **counts}},
        "metrics": {"cross_validated": known.record["metrics"]},
        "constants": {"cross_validated": known.record["constants"]},
        "cross_fitting": {
            "final": True,
            "folds": job.options.cross_validation.folds,
            "images": known.record["images"],
            "bundles": known.record["bundles"],
            "taught": sorted(_outputs(columns, heads)),
            "assumption": ASSUMPTION,
        },
    }
