"""What a bundle is completed with: calibration, drift profile, metrics, networks for OpenVINO.

Only images that a network did not see calibrate and measure it; where it saw all, what its folds
say does.
"""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model.backends.acceptance import MIN_IMAGES, refusal
from model.backends.quantization import PICTURES
from model.backends.selection import INT8 as INT8_COMPUTE
from model.bundle import Bundle, with_details
from model.errors import UsageError
from model.predictor import Predictor
from pipelines.bundles.labelled_images import LabelledImages, predict
from pipelines.bundles.networks import NOT_ASKED, Networks, make_networks
from pipelines.manifests import manifest
from pipelines.manifests.leakage import share_seen, told
from pipelines.predictions import figures
from pipelines.predictions.raw_predictions import INT8, REFERENCE, RawPredictions
from pipelines.telemetry.log import note

_MAX_MOVE = 2.0  # of an int8 network's predictions, in parts of what its folds' move
Splits = Mapping[str, RawPredictions]
Fits = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class FromFolds:
    """What folds say in the place of a network that saw all of their images.

    Attributes:
        predictions: out of fold.
        fingerprint: of the manifest.
        record: more of bundle.json: metrics and constants of the folds, and what they were.
    """

    predictions: RawPredictions
    fingerprint: str
    record: Mapping[str, Any]


def complete(bundle: Bundle, images: LabelledImages, folder: Path, int8: bool = True) -> Bundle:
    """Write a calibrated copy of a bundle, with drift profile, metrics and networks for OpenVINO.

    Fitted on val alone, profiled on train and val, measured on val and test with that calibration.

    Args:
        bundle: to complete; what it has of these is replaced.
        images: of the manifest that it was trained on.
        folder: gets the new bundle.
        int8: make an int8 network too, which is kept if it answers as well.

    Raises:
        ManifestError: there is no labelled val image that can be decoded.
    """
    with tempfile.TemporaryDirectory(prefix="facemill-engines-") as made_in:
        few = _labels(images.labelled("val")) < MIN_IMAGES
        sample = PICTURES if int8 and not few else 0
        splits = {"train": predict(images, "train", {}, sample)} if images.has("train") else {}
        shown = splits["train"].sample if splits else None
        made = make_networks(bundle, shown, Path(made_in))
        predictors = {REFERENCE: Predictor(bundle)}
        if made.int8:
            predictors[INT8] = Predictor(made.int8, INT8_COMPUTE)
        splits |= {s: predict(images, s, predictors) for s in ("val", "test") if images.has(s)}
        source = {"split": "val", "manifest_fingerprint": manifest.fingerprint(images.table)}
        fitted = dict.fromkeys(predictors, source)
        if "val" in splits:
            _note_ranges(splits["val"])
            fitted = splits["val"].fit(source)
        details = _figures(splits, fitted[REFERENCE])
        details["int8"] = {"refused": _why_none(int8, few, made)}
        if made.int8:
            details["int8"] = _judged(splits, fitted, "val") | {"pictures": made.pictures}
        return _with_networks(bundle, folder, details, made)


def complete_from_folds(
    bundle: Bundle, folds: FromFolds, images: LabelledImages, folder: Path, int8: bool = True
) -> Bundle:
    """Write a copy of a bundle that saw all images, with its folds' figures and its own networks.

    Its int8 network is kept where those of the folds may be used and it moves its answers, on
    images that it saw, by at most twice as much as they do on theirs: that needs no label.

    Args:
        bundle: to complete.
        folds: what they say of all images.
        images: that it saw.
        folder: gets the new bundle.
        int8: make an int8 network too.
    """
    predicted = folds.predictions
    fitted = predicted.fit({"split": "out_of_fold", "manifest_fingerprint": folds.fingerprint})
    judged = judged_by_folds(predicted, fitted, int8)
    details = {
        **folds.record,
        "calibration": fitted[REFERENCE],
        "profile": {"out_of_fold": predicted.profile(fitted[REFERENCE])},
    }
    wanted = "calibration" in judged
    with tempfile.TemporaryDirectory(prefix="facemill-engines-") as made_in:
        sample = predict(images, "train", {}, PICTURES).sample if wanted else None
        made = make_networks(bundle, sample, Path(made_in))
        if made.int8 and sample is not None:
            judged["pictures"] = made.pictures
            networks = Predictor(bundle), Predictor(made.int8, INT8_COMPUTE)
            said = [network.predict(sample) for network in networks]
            for name, move in judged["moves"].items():
                own = float(np.abs(said[1][name] - said[0][name]).mean())
                if own > _MAX_MOVE * move:
                    why = f"it changes {name} by {own:.3g}, the folds' by {move:.3g}"
                    made = dataclasses.replace(made, refused=why)
        if made.refused and wanted:
            judged = {"changes": judged["changes"], "refused": made.refused}
        return _with_networks(bundle, folder, {**details, "int8": judged}, made)


def judged_by_folds(folds: RawPredictions, fitted: Fits, asked: bool) -> dict[str, Any]:
    """What the folds' int8 networks say for the final one's: `int8` of bundle.json.

    Args:
        folds: out-of-fold predictions.
        fitted: of them.
        asked: whether an int8 network is wanted.

    Returns:
        `changes` and, if it may be used, `calibration` and `moves`, the mean absolute change of
        each answer; else `refused`, why not.
    """
    if not asked:
        return {"refused": NOT_ASKED}
    if INT8 not in folds.outputs:
        return {"refused": "not every fold has an int8 network to measure it by"}
    judged = _judged({"out_of_fold": folds}, fitted, "out_of_fold")
    if "calibration" in judged:
        reference, int8 = folds.outputs[REFERENCE], folds.outputs[INT8]
        moved = [name for name in int8 if name != "age_distribution"]
        judged["moves"] = {
            name: float(np.abs(int8[name] - reference[name]).mean()) for name in moved
        }
    return judged


def int8_of_fold(bundle: Bundle, images: LabelledImages, folder: Path) -> Bundle | None:
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
    before = bundle.record.get("int8", {})
    if "calibration" in before:
        return bundle
    if before.get("refused") == NOT_ASKED or _labels(images.table) < MIN_IMAGES:
        return None
    return make_networks(bundle, predict(images, "train", {}, PICTURES).sample, folder).int8


def require_unseen(
    bundle: Bundle, table: pa.Table, source: str, other_manifest: bool = False
) -> None:
    """Refuse to calibrate on images that the bundle learned from, or may have.

    Args:
        bundle: to calibrate.
        table: the manifest.
        source: where it is.
        other_manifest: allow one that the bundle was not trained on.

    Raises:
        UsageError: its val split holds some, or may hold some.
    """
    is_val: Any = np.array(table["split"].to_pylist()) == "val"
    if share := share_seen(bundle.record, table.filter(pa.array(is_val))):
        final = " It is a final network: its calibration comes from its folds."
        raise UsageError(
            f"the bundle was trained on {told(share)} of the val images of `manifest` {source}, so "
            "probabilities and intervals fitted there would be overconfident: give images that it "
            f"was not trained on.{final if bundle.record.get('cross_fitting') else ''}"
        )
    trained_on, fingerprint = bundle.record.get("manifest_fingerprint"), manifest.fingerprint(table)
    if trained_on != fingerprint and not other_manifest:
        raise UsageError(
            f"the bundle was trained on manifest {trained_on}, `manifest` {source} is "
            f"{fingerprint}: its val split may hold images that it was trained on; give the same "
            "manifest, or `other_manifest` if you know that it does not"
        )


def _labels(rows: pa.Table) -> int:
    """How many labels rows of a manifest have, each counted once."""
    return int((~manifest.labelled_already(rows)).sum())


def _note_ranges(val: RawPredictions) -> None:
    ranges = len(val) - val.rows["true_age_low_years"].null_count
    if ranges:
        note(
            f"note: {ranges:,} val ages are ranges: they are excluded from the calibration of "
            "the age interval"
        )


def _figures(splits: Splits, fitted: Mapping[str, Any]) -> dict[str, Any]:
    """Calibration, profile, metrics and constants of the reference, for bundle.json."""
    details: dict[str, dict[str, Any]] = {
        "calibration": dict(fitted), "profile": {}, "metrics": {}, "constants": {},
    }  # fmt: skip
    for name, split in splits.items():
        if name != "test":
            details["profile"][name] = split.profile(fitted)
        if name != "train" and len(split):
            known = split.once.labelled(fitted)
            details["constants"][name] = dataclasses.asdict(figures.constants(known))
            details["metrics"][name] = figures.plain(figures.estimates(known))
    return details


def _judged(splits: Splits, fitted: Fits, by: str) -> dict[str, Any]:
    """int8 beside the reference, split by split; its calibration, or why `by` refuses it."""
    changes = {n: s.once.int8_change(fitted) for n, s in splits.items() if INT8 in s.outputs}
    refused = refusal(changes[by], "out-of-fold images" if by == "out_of_fold" else by)
    verdict = {"refused": refused} if refused else {"calibration": dict(fitted[INT8])}
    return {"changes": changes, **verdict}


def _why_none(asked: bool, few: bool, made: Networks) -> str:
    """Why no int8 network was made."""
    if not asked:
        return NOT_ASKED
    return made.refused or (f"val has fewer than {MIN_IMAGES} labelled images" if few else "")


def _with_networks(
    bundle: Bundle, folder: Path, details: Mapping[str, Any], made: Networks
) -> Bundle:
    """Write the bundle with its networks: int8 where `details` say that it may be used."""
    files = made.float_files
    if "calibration" in details["int8"]:
        files += made.int8_files
    elif details["int8"]["refused"] != NOT_ASKED:
        note(f"note: the bundle has no int8 network: {details['int8']['refused']}")
    return with_details(bundle, folder, details, files)
