"""What a bundle is completed with: calibration, drift profile and metrics, of one pass a split."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model import baselines, calibration, statistics
from model.baselines import Constants
from model.bundle import Bundle, with_details
from model.calibration import AGE_BINS, Reading
from model.errors import ManifestError, UsageError
from model.metrics import Estimate, measure
from model.predictor import Predictor
from model.preprocessing import InputSpec
from pipelines.images.decoding import DecodedImages, decode_in_parts
from pipelines.images.pixel_cache import CachedPixels
from pipelines.manifests import manifest
from pipelines.manifests.seen import share_seen
from pipelines.manifests.splits import SPLITS
from pipelines.telemetry.log import note
from pipelines.telemetry.phases import phase


def check_manifest(bundle: Bundle, table: pa.Table, source: str) -> None:
    """Refuse a manifest that the bundle was not trained on.

    Raises:
        UsageError: its val split may hold images that were trained on.
    """
    trained_on, fingerprint = bundle.record.get("manifest_fingerprint"), manifest.fingerprint(table)
    if trained_on != fingerprint:
        raise UsageError(
            f"the bundle was trained on manifest {trained_on}, `manifest` {source} is {fingerprint}: its "
            "val split may hold images that were trained on; give the same manifest, or "
            "`other_manifest` if you know that they are apart"
        )


def require_unseen(bundle: Bundle, table: pa.Table, source: str) -> None:
    """Refuse to calibrate on images that the bundle learned from.

    Raises:
        UsageError: its val split holds some.
    """
    is_val: Any = np.array(table["split"].to_pylist()) == "val"
    val = table.filter(pa.array(is_val))
    if share := share_seen(bundle.record, val):
        final = " It is a final network: its calibration comes from its folds."
        raise UsageError(
            f"the bundle has learned from {share:.0%} of the val images of `manifest` {source}, so "
            "probabilities and intervals fitted there would be too sure: give images that it never "
            f"saw.{final if bundle.record.get('cross_fitting') else ''}"
        )


class LabelledImages:
    """The labelled images of a manifest, split by split, decoded once each.

    Attributes:
        table: the manifest.
        spec: what the network takes.
    """

    def __init__(
        self, table: pa.Table, spec: InputSpec, cached: Mapping[str, CachedPixels] | None = None
    ) -> None:
        """Name them; `cached` holds the pixels of splits that have been decoded already."""
        self.table, self.spec, self._cached = table, spec, cached or {}

    def has(self, split: str) -> bool:
        """Whether the manifest has such a split."""
        return split in self.table["split"].to_pylist()

    def parts(self, split: str) -> Iterator[tuple[pa.Table, DecodedImages]]:
        """The rows that could be decoded and their pixels, some of them in memory at a time.

        Raises:
            ManifestError: the split has no labelled image that can be decoded.
        """
        rows = manifest.labelled(self.table, split)
        if split not in self._cached:
            yield from decode_in_parts(rows, self.spec, f"decode {split}")
            return
        for index, images in self._cached[split].parts():
            yield rows.take(index), images


def complete(bundle: Bundle, images: LabelledImages, folder: Path) -> Bundle:
    """Write a calibrated copy of a bundle, with its drift profile and its metrics.

    Fitted on val alone, profiled on train and val, measured on val and test with that calibration.

    Args:
        bundle: to complete; what it has of these is replaced.
        images: of the manifest that it was trained on.
        folder: gets the new bundle.

    Raises:
        ManifestError: there is no labelled val image that can be decoded.
    """
    predictor = Predictor(bundle, batch_size=64)
    raw = {split: columns_of(predictor, images, split) for split in SPLITS if images.has(split)}
    fitted: dict[str, Any] = {}
    if val := raw.get("val"):
        ages, genders = (manifest.codes(val.rows, name) for name in ("age_years", "gender"))
        fitted = calibration.fit(val.columns, ages, genders)
    profile: dict[str, Any] = {}
    measured: dict[str, Any] = {}
    constants: dict[str, Any] = {}
    for split, part in raw.items():
        if split != "test":
            calibrated = calibration.apply(part.columns, fitted, Reading()) if split == "val" else {}
            counts = statistics.profile(part.columns | calibrated)
            profile[split] = {"images": part.rows.num_rows, **counts}
        if split != "train" and part.rows.num_rows:
            estimates, constant = _measure(bundle, part, fitted)
            constants[split] = dataclasses.asdict(constant)
            measured[split] = {name: dataclasses.asdict(e) for name, e in estimates.items()}
    fitted |= {"split": "val", "manifest_fingerprint": manifest.fingerprint(images.table)}
    details = {
        "calibration": fitted, "profile": profile, "metrics": measured, "constants": constants,
    }  # fmt: skip
    return with_details(bundle, folder, details)


@dataclasses.dataclass(frozen=True)
class SplitColumns:
    """Statistics of a split's pictures, raw predictions of val and test, and their rows."""

    columns: dict[str, Any]
    rows: pa.Table


def columns_of(predictor: Predictor, images: LabelledImages, split: str) -> SplitColumns:
    """What the network says of a split's images, before calibration; of train, the pictures alone.

    Args:
        predictor: the network.
        images: of a manifest.
        split: train, val or test.

    Raises:
        ManifestError: no image of train or val can be decoded; of test there are then no rows.
    """
    parts: list[dict[str, Any]] = []
    rows: list[pa.Table] = []
    with phase(f"measure_{split}") as facts:
        try:
            for part, pictures in images.parts(split):
                predictions = predictor.predict(pictures.pixels) if split != "train" else {}
                sizes = {"width": pictures.sizes[:, 0], "height": pictures.sizes[:, 1]}
                parts.append({**statistics.image_statistics(pictures.pixels), **sizes, **predictions})
                rows.append(part)
        except ManifestError as error:
            if split != "test":  # such as a test split that is kept unlabelled
                raise
            note(f"note: test is not measured: {error}")
            return SplitColumns({}, images.table.slice(0, 0))
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        facts["images"] = len(columns["width"])
    return SplitColumns(columns, pa.concat_tables(rows))


def _measure(
    bundle: Bundle, part: SplitColumns, fitted: Mapping[str, Any]
) -> tuple[dict[str, Estimate], Constants]:
    """Metrics of raw predictions under a calibration, and what constants would score."""
    bins = calibration.own_bins(bundle.heads)
    reading = Reading(age_bins=bins or "decades")
    calibrated = calibration.apply(part.columns, fitted, reading, bundle.heads)
    ages, genders = (manifest.codes(part.rows, name) for name in ("age_years", "gender"))
    measured_bins = AGE_BINS[bins] if bins else None
    estimates = measure(calibrated, ages, genders, measured_bins)
    return estimates, baselines.constants(ages, genders, measured_bins)


def summary(record: dict[str, Any]) -> list[tuple[str, str]]:
    """A bundle's calibration as lines for people."""
    fitted = record.get("calibration") or {}
    lines: list[tuple[str, str]] = []
    if gender := fitted.get("gender"):
        lines.append(
            (
                "gender",
                f"temperature {gender['temperature']:.3f}, bias {gender['bias']:+.3f}, "
                f"{gender['images']:,} images",
            )
        )
    if age := fitted.get("age"):
        lines.append(
            ("age", f"{age['method']}, {len(age['bands'])} bands, {age['images']:,} images")
        )
        for method, figures in age["measured"].items():
            text = (
                f"covers {figures['coverage']:.1%}, {figures['least_decade']:.1%} to "
                f"{figures['most_decade']:.1%} by true decade, {figures['width_years']:.1f} years wide"
            )
            halves = "the out-of-fold rows" if fitted.get("split") == "out_of_fold" else "val"
            lines.append((f"  {method}", f"{text} (halves of {halves})"))
    return lines or [("calibration", "none: too few labelled val images")]
