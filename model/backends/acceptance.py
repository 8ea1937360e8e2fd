"""Whether an int8 network answers as well as the one it was made of: paired differences, limits.

Both answer the same labelled images, so what is compared is each image with itself, and its
95 % interval (mean +- 1.96 standard errors of the paired differences) is narrow.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
MIN_IMAGES = 500  # with each label; fewer cannot exclude the losses below
_MOST_YEARS, _NEVER_YEARS = 0.05, 0.10
_MOST_GENDER, _NEVER_GENDER = 0.0025, 0.005
_MOST_COVERAGE = 0.005


def compare(
    reference: Mapping[str, Floats],
    other: Mapping[str, Floats],
    true_age: Floats,
    true_female: Floats,
) -> dict[str, Any]:
    """How much worse or better `other` answers.

    Args:
        reference: calibrated columns (`calibration.apply`), shape (n,) each.
        other: the same columns of the same images.
        true_age: years, NaN where unlabelled; shape (n,).
        true_female: 1 female, 0 male, NaN unlabelled; shape (n,).

    Returns:
        Plain data: `images`; of each head `ages` and `genders`, how many of them have the label,
        and where two have, `age_mae` (years) and `gender_accuracy` (share), each the change with
        `low` and `high`; `flips`, genders that changed; `age_shift`, mean change of the age,
        years; `coverage`, change of the share of intervals that hold the label.
    """
    result: dict[str, Any] = {"images": len(true_age)}
    if "age_years" in reference:
        result["ages"] = int((~np.isnan(true_age)).sum())
    if "p_female" in reference:
        result["genders"] = int((~np.isnan(true_female)).sum())
    if result.get("ages", 0) > 1:
        known = ~np.isnan(true_age)
        truth = true_age[known]
        ages, others = (columns["age_years"][known] for columns in (reference, other))
        result["age_mae"] = _paired(np.abs(others - truth) - np.abs(ages - truth))
        result["age_shift"] = float(np.mean(others - ages))
        if "age_low_years" in reference:
            held = [_holds(columns, known, truth) for columns in (reference, other)]
            result["coverage"] = float(held[1].mean() - held[0].mean())
    if result.get("genders", 0) > 1:
        known = ~np.isnan(true_female)
        truth = true_female[known] > 0.5
        said = [columns["p_female"][known] >= 0.5 for columns in (reference, other)]
        right = [(answers == truth).astype(np.float64) for answers in said]
        result["gender_accuracy"] = _paired(right[1] - right[0])
        result["flips"] = int((said[0] != said[1]).sum())
    return result


def _holds(columns: Mapping[str, Floats], known: Any, truth: Floats) -> npt.NDArray[np.bool_]:
    low, high = (columns[name][known] for name in ("age_low_years", "age_high_years"))
    return (low <= truth) & (truth <= high)


def _paired(changes: Floats) -> dict[str, float]:
    """Mean with its 95 % interval."""
    changes = np.asarray(changes, dtype=np.float64)
    mean = float(changes.mean())
    reach = 1.96 * float(changes.std(ddof=1)) / len(changes) ** 0.5
    return {"value": mean, "low": mean - reach, "high": mean + reach}


def refusal(changes: Mapping[str, Any], where: str = "val") -> str | None:
    """Why an int8 network with these changes is not to be used, as text; None if it may be.

    At most 0.05 years and 0.25 points of gender may be lost, the intervals must exclude 0.10 years
    and 0.5 points, and coverage must stay within 0.5 points.

    Args:
        changes: of `compare`.
        where: the images, as text.
    """
    for label in ("ages", "genders"):
        if label in changes and changes[label] < MIN_IMAGES:
            return (
                f"{where} has {changes[label]} labelled {label}, and {MIN_IMAGES} are needed to "
                "judge it"
            )
    age, gender = changes.get("age_mae"), changes.get("gender_accuracy")
    if age and (age["value"] > _MOST_YEARS or age["high"] > _NEVER_YEARS):
        return f"its age error is {_told(age, 1)} years higher on {where}"
    if gender and (-gender["value"] > _MOST_GENDER or -gender["low"] > _NEVER_GENDER):
        return f"its genders are right {_told(gender, 100)} points more often on {where}"
    if abs(changes.get("coverage", 0.0)) > _MOST_COVERAGE:
        return f"its intervals hold {100 * changes['coverage']:+.1f} points more ages on {where}"
    return None


def _told(change: Mapping[str, float], scale: float) -> str:
    value, low, high = (scale * change[name] for name in ("value", "low", "high"))
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
