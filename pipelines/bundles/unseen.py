"""Only images that a bundle never saw calibrate it; where it saw all, its folds' answers do."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model.bundle import Bundle, with_details
from model.errors import UsageError
from pipelines.bundles.networks import make_networks
from pipelines.manifests import manifest
from pipelines.manifests.seen import share_seen


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
            f"the bundle has learned from {share:.0%} of the val images of `manifest` {source}, so "
            "probabilities and intervals fitted there would be too sure: give images that it never "
            f"saw.{final if bundle.record.get('cross_fitting') else ''}"
        )
    trained_on, fingerprint = bundle.record.get("manifest_fingerprint"), manifest.fingerprint(table)
    if trained_on != fingerprint and not other_manifest:
        raise UsageError(
            f"the bundle was trained on manifest {trained_on}, `manifest` {source} is "
            f"{fingerprint}: its val split may hold images that were trained on; give the same "
            "manifest, or `other_manifest` if you know that they are apart"
        )


def complete_with(bundle: Bundle, figures: Mapping[str, Any], folder: Path) -> Bundle:
    """Write a copy of a bundle that saw all images, with figures of others and its float networks.

    It has no int8 network: no image is left that could judge one.

    Args:
        bundle: to complete.
        figures: calibration, profile, metrics and constants, from its folds.
        folder: gets the new bundle.
    """
    with tempfile.TemporaryDirectory(prefix="facemill-engines-") as made_in:
        made = make_networks(bundle, None, Path(made_in))
        refused = made.refused or "it saw all images: calibrate it on others, which then judge int8"
        return with_details(
            bundle, folder, {**figures, "int8": {"refused": refused}}, made.float_files
        )
