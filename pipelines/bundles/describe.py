"""A bundle's calibration as text: of its probabilities, its intervals and its int8 network."""

from collections.abc import Mapping
from typing import Any


def calibration(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Lines for people.

    Args:
        record: of the bundle.
    """
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
                f"{figures['most_decade']:.1%} by true decade, "
                f"{figures['width_years']:.1f} years wide"
            )
            halves = (
                "the out-of-fold predictions" if fitted.get("split") == "out_of_fold" else "val"
            )
            lines.append((f"  {method}", f"{text} (halves of {halves})"))
    lines += _int8_lines(record.get("int8") or {})
    return lines or [("calibration", "none: too few labelled val images")]


def _int8_lines(int8: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What int8 changes, split by split, or why there is none."""
    if "calibration" not in int8:
        return [("int8", f"none: {int8['refused']}")] if int8.get("refused") else []
    lines = list[tuple[str, str]]()
    for split, change in int8["changes"].items():
        parts = list[str]()
        if age := change.get("age_mae"):
            value, low, high = (f"{age[name]:+.3f}" for name in ("value", "low", "high"))
            parts.append(f"age error {value} years ({low} to {high})")
        if gender := change.get("gender_accuracy"):
            value, low, high = (f"{100 * gender[name]:+.2f}" for name in ("value", "low", "high"))
            parts.append(
                f"gender {value} points ({low} to {high}), {change['flips']} of "
                f"{change['images']:,} changed"
            )
        lines.append((f"int8, {split.replace('_', ' ')}", ", ".join(parts)))
    return lines
