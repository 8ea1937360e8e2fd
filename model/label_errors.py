"""How implausible a label is, given what a network says that did not learn from it; pure NumPy.

Gender: confident learning (Northcutt, Jiang & Chuang 2021). A label is an issue where the other
gender is at least as likely as it is on the average for images labelled so. Age: the conformal
score, the distance from the predicted age in units of the interval's own half, ranked among all
images; a label issue lies outside of its interval.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]
_LEAST_HALF_YEARS = 1.0  # an interval that ends at its own age says nothing of a label beyond


def gender(p_female: Floats, true_female: Floats) -> tuple[Floats, Bools]:
    """How plausible each label of gender is, and which are label_issues.

    Args:
        p_female: out of fold and calibrated, 0-1; shape (n,), NaN where unknown.
        true_female: 1 female, 0 male, NaN unlabelled; shape (n,).

    Returns:
        (the probability of the label, NaN where unknown; bool), each of shape (n,).
    """
    known = ~(np.isnan(p_female) | np.isnan(true_female))
    p = np.asarray(p_female, dtype=np.float64)
    plausible = np.where(known, np.where(true_female > 0.5, p, 1 - p), np.nan)
    label_issue = np.zeros(len(p), dtype=bool)
    for is_female in (True, False):
        mine, other = (known & ((true_female > 0.5) == side) for side in (is_female, not is_female))
        if other.any():
            # An image of the others is as sure of its label as they are on the average.
            label_issue |= mine & (1 - plausible >= max(plausible[other].mean(), 0.5))
    return plausible, label_issue


def age(age_years: Floats, low: Floats, high: Floats, true_age: Floats) -> tuple[Floats, Bools]:
    """How plausible each label of age is, and which are label_issues.

    Args:
        age_years: out of fold; shape (n,), NaN where unknown.
        low: lower end of the 90 % interval, NaN where there is none; shape (n,), years.
        high: its upper end.
        true_age: labelled, NaN where unlabelled; shape (n,), years.

    Returns:
        (the share of labels that lie as far off, by the conformal score, NaN where unknown; bool),
        each of shape (n,).
    """
    known = ~(np.isnan(age_years) | np.isnan(true_age))
    half = np.where(true_age >= age_years, high - age_years, age_years - low)
    half = np.maximum(np.where(np.isnan(half), _LEAST_HALF_YEARS, half), _LEAST_HALF_YEARS)
    score = np.abs(true_age - age_years) / half
    ordered = np.sort(score[known])
    as_far = len(ordered) - np.searchsorted(ordered, score, side="left")
    plausible = np.where(known, np.minimum(1.0, (1 + as_far) / (len(ordered) + 1)), np.nan)
    outside = np.where(np.isnan(low), plausible <= 0.1, score > 1)
    return plausible, known & outside
