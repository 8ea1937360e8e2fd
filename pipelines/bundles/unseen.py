"""Only images that a bundle never saw calibrate it; where it saw all, its folds' answers do."""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model.backends.quantization import PICTURES
from model.backends.selection import INT8
from model.bundle import Bundle, with_details
from model.errors import UsageError
from model.predictor import Predictor
from pipelines.bundles.calibrating import LabelledImages, walk
from pipelines.bundles.networks import NOT_ASKED, make_networks
from pipelines.manifests import manifest
from pipelines.manifests.leakage import share_seen, told
from pipelines.telemetry.log import note

_MAX_MOVE = 2.0


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


def complete_with(
    bundle: Bundle, figures: Mapping[str, Any], images: LabelledImages, folder: Path
) -> Bundle:
    """Write a copy of a bundle that saw all images, with its folds' figures and its own networks.

    Its int8 network is kept where those of the folds may be used and it moves its answers, on
    images that it saw, by at most twice as much as they do on theirs: that needs no label.

    Args:
        bundle: to complete.
        figures: calibration, profile, metrics, constants and `int8`, from its folds.
        images: that it saw.
        folder: gets the new bundle.
    """
    int8 = dict(figures["int8"])
    wanted = "calibration" in int8
    with tempfile.TemporaryDirectory(prefix="facemill-engines-") as made_in:
        sample = walk(images, "train", {}, PICTURES).sample if wanted else None
        made = make_networks(bundle, sample, Path(made_in))
        files = made.float_files
        if made.int8 and sample is not None:
            said = [Predictor(bundle).predict(sample), Predictor(made.int8, INT8).predict(sample)]
            for name, move in int8["moves"].items():
                own = float(np.abs(said[1][name] - said[0][name]).mean())
                if own > _MAX_MOVE * move:
                    made = dataclasses.replace(
                        made,
                        refused=f"it changes {name} by {own:.3g}, the folds' by {move:.3g}",
                    )
            int8["pictures"] = made.pictures
        if made.refused and wanted:
            int8 = {"changes": int8["changes"], "refused": made.refused}
        elif wanted:
            files += made.int8_files
        if int8.get("refused", NOT_ASKED) != NOT_ASKED:
            note(f"note: the bundle has no int8 network: {int8['refused']}")
        return with_details(bundle, folder, {**figures, "int8": int8}, files)
