"""Calibration of a bundle on its val split, and the profile that drift is measured against."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model import calibration, statistics
from model.bundle import Bundle, with_details
from model.errors import UsageError
from model.predictor import Predictor
from model.preprocessing import InputSpec
from pipelines.manifests import manifest
from pipelines.images.decoding import decode_in_parts
from pipelines.telemetry.phases import phase


def check_manifest(bundle: Bundle, table: pa.Table, source: str) -> None:
    """Refuse a manifest that the bundle was not trained on.

    Raises:
        UsageError: its val split may hold images that were trained on.
    """
    trained_on, given = bundle.record.get("manifest_fingerprint"), manifest.fingerprint(table)
    if trained_on != given:
        raise UsageError(
            f"the bundle was trained on manifest {trained_on}, --manifest {source} is {given}: its "
            "val split may hold images that were trained on; give the same manifest, or "
            "--other-manifest if you know that they are apart"
        )


def calibrate(bundle: Bundle, table: pa.Table, folder: Path) -> Bundle:
    """Write a calibrated copy of a bundle: fitted on val alone, profiled on train and val.

    Args:
        bundle: what to calibrate; an earlier calibration is replaced.
        table: the manifest that it was trained on.
        folder: gets the new bundle.
    """
    profile: dict[str, Any] = {}
    fitted: dict[str, Any] = {}
    for split in ("train", "val"):
        if split not in table["split"].to_pylist():
            continue
        predictor = Predictor(bundle, batch_size=64) if split == "val" else None
        with phase("calibrate" if predictor else "profile") as facts:
            rows = manifest.labelled(table, split)
            columns, good = _columns(predictor, rows, bundle.input, split)
            if predictor:
                fitted = calibration.fit(
                    columns, manifest.codes(good, "age_years"), manifest.codes(good, "gender")
                )
                columns |= calibration.apply(columns, fitted, calibration.Reading())
            profile[split] = {"images": good.num_rows, **statistics.profile(columns)}
            facts["images"] = good.num_rows
    fitted |= {"split": "val", "manifest_fingerprint": manifest.fingerprint(table)}
    return with_details(bundle, folder, {"calibration": fitted, "profile": profile})


def _columns(
    predictor: Predictor | None, rows: pa.Table, spec: InputSpec, split: str
) -> tuple[dict[str, Any], pa.Table]:
    """Statistics of the pictures of a split, predictions too if asked, and the rows they are of."""
    parts: list[dict[str, Any]] = []
    good: list[pa.Table] = []
    for part, images in decode_in_parts(rows, spec, f"decode {split}"):
        said = predictor.predict(images.pixels) if predictor else {}
        sizes = {"width": images.sizes[:, 0], "height": images.sizes[:, 1]}
        parts.append({**statistics.image_statistics(images.pixels), **sizes, **said})
        good.append(part)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return columns, pa.concat_tables(good)


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
        for method, found in age["measured"].items():
            text = (
                f"covers {found['coverage']:.1%}, {found['least_decade']:.1%} to "
                f"{found['most_decade']:.1%} by true decade, {found['width_years']:.1f} years wide"
            )
            lines.append((f"  {method}", text + " (halves of val)"))
    return lines or [("calibration", "none: too few labelled val images")]
