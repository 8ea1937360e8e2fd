"""Metrics of age and gender, with bootstrap 95 % intervals (Efron 1979, percentile)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from model import labels

Floats = npt.NDArray[np.floating[Any]]
BOOTSTRAP_DRAWS = 1000


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval and the number of images behind it."""

    value: float
    low: float
    high: float
    images: int

    def text(self, digits: int = 2, percent: bool = False) -> str:
        """`6.52 (6.31 to 6.74)`, or in percent."""
        scale, unit = (100.0, " %") if percent else (1.0, "")
        v, lo, hi = (f"{x * scale:.{digits}f}" for x in (self.value, self.low, self.high))
        return f"{v}{unit} ({lo} to {hi})"


def evaluate(
    true_age: Floats,
    age: Floats,
    true_female: Floats,
    p_female: Floats,
    seed: int = 0,
    pictures: Any = None,
) -> dict[str, Estimate]:
    """All metrics over the images that have the label and the prediction.

    Args:
        true_age: labelled age in years, NaN where unknown; shape (n,).
        age: predicted age in years, NaN where the network has no age head; shape (n,).
        true_female: 1 female, 0 male, NaN unknown; shape (n,).
        p_female: predicted probability of female in 0-1, NaN without a gender head; shape (n,).
        seed: of the bootstrap.
        pictures: what each row shows, shape (n,): copies of an image are drawn together. None:
            each its own.

    Returns:
        Of age_mae, age_rmse, age_bias (years), age_within_5 (share), gender_accuracy (share) and
        gender_auc (0-1) those that the labels and heads allow.
    """
    result: dict[str, Estimate] = {}
    known = ~(np.isnan(true_age) | np.isnan(age))
    if known.any():
        error = np.asarray(age[known] - true_age[known], dtype=np.float64)
        weights = bootstrap_weights(len(error), seed, _shown(pictures, known))
        result["age_mae"] = estimate_mean(np.abs(error), weights)
        squares = estimate_mean(error**2, weights)
        roots = [float(np.sqrt(v)) for v in (squares.value, squares.low, squares.high)]
        result["age_rmse"] = Estimate(roots[0], roots[1], roots[2], len(error))
        result["age_bias"] = estimate_mean(error, weights)
        result["age_within_5"] = estimate_mean((np.abs(error) <= 5).astype(np.float64), weights)
    known = ~(np.isnan(true_female) | np.isnan(p_female))
    if known.any():
        truth = true_female[known] > 0.5
        score = np.asarray(p_female[known], dtype=np.float64)
        weights = bootstrap_weights(len(truth), seed, _shown(pictures, known))
        correct = ((score >= 0.5) == truth).astype(np.float64)
        result["gender_accuracy"] = estimate_mean(correct, weights)
        if truth.any() and not truth.all():
            draws = [weighted_auc(truth, score, row) for row in weights]
            # A draw of few images may hold one gender alone, of which there is no such area.
            low, high = np.nanpercentile(draws, [2.5, 97.5])
            value = weighted_auc(truth, score, np.ones(len(truth)))
            result["gender_auc"] = Estimate(value, float(low), float(high), len(truth))
    return result


def evaluate_groups(
    true_age: Floats, group: Floats, bins: labels.Bins, seed: int = 0, pictures: Any = None
) -> dict[str, Estimate]:
    """How often the age group is the labelled one, or at most the one beside it.

    The two scores of Levi & Hassner 2015. A labelled age between two bins belongs to the nearer.

    Args:
        true_age: labelled age in years, NaN where unknown; shape (n,).
        group: index of the predicted group in `bins`, NaN where unknown; shape (n,).
        bins: the groups, in years.
        seed: of the bootstrap.
        pictures: as for `evaluate`.

    Returns:
        `age_group_exact` and `age_group_one_off` (shares); nothing where nothing is known.
    """
    known = ~(np.isnan(true_age) | np.isnan(group))
    if not known.any():
        return {}
    distance = np.abs(group[known] - labels.bin_of(true_age[known], bins))
    weights = bootstrap_weights(len(distance), seed, _shown(pictures, known))
    return {
        name: estimate_mean((distance <= most).astype(np.float64), weights)
        for name, most in (("age_group_exact", 0), ("age_group_one_off", 1))
    }


def measure(
    columns: Mapping[str, Floats],
    true_age: Floats,
    true_female: Floats,
    bins: labels.Bins | None,
    pictures: Any = None,
) -> dict[str, Estimate]:
    """All metrics that predictions and labels allow: those of `evaluate` and `evaluate_groups`.

    Args:
        columns: calibrated, as `Predictor.answers` gives them; shape (n,); what lacks is unknown.
        true_age: labelled age in years, NaN where unknown; shape (n,).
        true_female: 1 female, 0 male, NaN unknown; shape (n,).
        bins: of the column `age_group`; None leaves its two scores out.
        pictures: as for `evaluate`.
    """
    absent = np.full(len(true_age), np.nan, dtype=np.float32)
    age, p_female, group = (
        columns.get(name, absent) for name in ("age_years", "p_female", "age_group")
    )
    estimates = evaluate(true_age, age, true_female, p_female, pictures=pictures)
    if bins:
        estimates |= evaluate_groups(true_age, group, bins, pictures=pictures)
    return estimates


def weighted_auc(truth: npt.NDArray[np.bool_], score: Floats, weights: Floats) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative), ties half.

    Args:
        truth: shape (n,), True for positives.
        score: shape (n,), higher means more positive.
        weights: shape (n,), how often each image counts.
    """
    levels, position = np.unique(score, return_inverse=True)
    positives = np.bincount(position, weights * truth, len(levels))
    negatives = np.bincount(position, weights * ~truth, len(levels))
    below = np.cumsum(negatives) - negatives
    pairs = positives.sum() * negatives.sum()
    return float((positives * (below + negatives / 2)).sum() / pairs) if pairs else float("nan")


def _shown(pictures: Any, known: npt.NDArray[np.bool_]) -> Any:
    return None if pictures is None else np.asarray(pictures)[known]


def bootstrap_weights(count: int, seed: int, pictures: Any = None) -> npt.NDArray[np.float32]:
    """How often each image is drawn: (draws, count).

    Args:
        count: of images.
        seed: of the draws.
        pictures: what each image shows, shape (count,): those of one image are drawn together.
            None: each its own, and rows sum to count.
    """
    which = np.arange(count)
    if pictures is not None:
        _, first, which = np.unique(pictures, return_index=True, return_inverse=True)
        which = np.argsort(np.argsort(first))[which]  # in the order of the images
    different = int(which.max()) + 1 if count else 0
    rng = np.random.default_rng(seed)
    draws = BOOTSTRAP_DRAWS if count <= 20_000 else max(100, 20_000_000 // count)
    weights = np.empty((draws, count), dtype=np.float32)
    for row in weights:
        drawn = np.bincount(rng.integers(0, different, different), minlength=different)
        row[:] = drawn[which]
    return weights


def estimate_mean(values: Floats, weights: npt.NDArray[np.float32]) -> Estimate:
    """A mean and its bootstrap interval."""
    draws = weights @ values / weights.sum(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high), len(values))
