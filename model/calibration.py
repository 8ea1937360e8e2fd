"""Calibration: what turns the network's raw numbers into probabilities and intervals that hold.

Fitted on the val split only, stored in `bundle.json` under `calibration`, part of the bundle's id.

- Gender: temperature scaling with a bias (Guo 2017, Alexandari 2020), sigmoid(logit(p) / T + b)
  with the least NLL. The bias is for networks that lean to one gender, as seed-final does: its
  ECE is 0.026 with T alone and 0.018 with the bias (docs/results.md).
- Age: split-conformal intervals (model/conformal.py).

Pure NumPy: no TensorFlow, no SciPy.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from model import conformal, labels
from model.conformal import LEVELS
from model.errors import UsageError
from model.heads import Head

Floats = npt.NDArray[np.floating[Any]]

AgeBins = Literal["decades", "adience"]
AGE_BINS: dict[AgeBins, labels.Bins] = {"decades": labels.DECADES, "adience": labels.LEVI_HASSNER}
DEFAULT_COVERAGE = 0.9
MIN_IMAGES = 30
_EPSILON = 1e-6  # a saturated float32 sigmoid has no finite logit


@dataclasses.dataclass(frozen=True)
class Reading:
    """How scoring reads a bundle: the intervals' coverage (share) and the binning of age_group."""

    coverage: float = DEFAULT_COVERAGE
    age_bins: AgeBins = "decades"

    def __post_init__(self) -> None:
        """Check the coverage.

        Raises:
            UsageError: it is outside of what the stored quantiles know.
        """
        if not LEVELS[0] <= self.coverage <= LEVELS[-1]:
            raise UsageError(
                f"`coverage` {self.coverage:g} must be between {LEVELS[0]:g} and {LEVELS[-1]:g}, "
                "for example 0.9"
            )


def chosen_bins(asked: AgeBins | Literal["auto"], heads: Sequence[Head]) -> AgeBins:
    """What was asked for; `auto` is the network's own binning, else decades."""
    return (own_bins(heads) or "decades") if asked == "auto" else asked


def own_bins(heads: Sequence[Head]) -> AgeBins | None:
    """The binning that an age-group head was trained for, or None without such a head."""
    trained = [head.bins for head in heads if (head.label, head.kind) == ("age_years", "classes")]
    return next((name for name, bins in AGE_BINS.items() if bins in trained), None)


def fit(
    columns: Mapping[str, Floats],
    true_age: Floats,
    true_female: Floats,
    seed: int = 0,
    pictures: Any = None,
) -> dict[str, Any]:
    """Fit everything that the columns and labels allow.

    Args:
        columns: of `heads.read_out` on the val images, uncalibrated; shape (n, …).
        true_age: years, NaN where unlabelled; shape (n,).
        true_female: 1 female, 0 male, NaN unlabelled; shape (n,).
        seed: of the halves on which the age methods are compared.
        pictures: what each row shows, shape (n,), where an image has several rows (`fit_age`):
            each counts once. None: each row its own.

    Returns:
        Plain data for bundle.json: `gender` and `age` (None where there is nothing to fit).
    """
    result: dict[str, Any] = {"format": 1, "gender": None, "age": None}
    shown = np.arange(len(true_age)) if pictures is None else np.asarray(pictures)
    if "p_female" in columns:
        known = ~np.isnan(true_female)
        truth = true_female[known] > 0.5
        count = len(np.unique(shown[known]))
        if count >= MIN_IMAGES and truth.any() and not truth.all():
            fitted = fit_gender(columns["p_female"][known], truth)
            result["gender"] = {**fitted, "images": count}
    if "age_years" in columns:
        known = ~np.isnan(true_age)
        if len(np.unique(shown[known])) >= MIN_IMAGES:
            kept = {name: values[known] for name, values in columns.items()}
            result["age"] = conformal.fit_age(kept, true_age[known], seed, shown[known])
    return result


def apply(
    columns: Mapping[str, Floats],
    calibration: Mapping[str, Any] | None,
    reading: Reading,
    heads: Sequence[Head] = (),
) -> dict[str, Any]:
    """Columns as predictions want them.

    Args:
        columns: of `heads.read_out`; shape (n, …).
        calibration: of the bundle, or None: p_female stays as it is and there are no intervals.
        reading: coverage and binning.
        heads: of the bundle; an age-group head in the same binning decides the group itself.

    Returns:
        The columns with p_female calibrated and, where there is an age, `age_group` (index in the
        binning: the head's likeliest class, else that of `age_years`) and, where calibrated,
        `age_low_years` and `age_high_years`; float32 (n,).
    """
    result: dict[str, Any] = dict(columns)
    calibration = calibration or {}
    gender, age = calibration.get("gender"), calibration.get("age")
    if gender and "p_female" in result:
        result["p_female"] = with_gender(result["p_female"], gender)
    if "age_years" in result:
        if own_bins(heads) != reading.age_bins:
            result["age_group"] = labels.bin_of(result["age_years"], AGE_BINS[reading.age_bins])
        if age:
            low, high = conformal.intervals(columns, age, reading.coverage)
            result["age_low_years"], result["age_high_years"] = low, high
    return result


def with_gender(probability: Floats, gender: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """sigmoid(logit(p) / temperature + bias): the order stays."""
    scaled = _logit(probability) / gender["temperature"] + gender["bias"]
    return (1 / (1 + np.exp(-scaled))).astype(np.float32)


def _logit(probability: Floats) -> npt.NDArray[np.float64]:
    p = np.clip(np.asarray(probability, dtype=np.float64), _EPSILON, 1 - _EPSILON)
    return np.log(p / (1 - p))


def fit_gender(probability: Floats, truth: npt.NDArray[np.bool_]) -> dict[str, float]:
    """The temperature and bias with the least negative log-likelihood, by Newton's method.

    A prior worth a hundredth of an image at (1, 0) keeps separable data finite.
    """
    design = np.stack([_logit(probability), np.ones(len(truth))], axis=1)
    signs = np.where(truth, 1.0, -1.0)
    prior, ridge = np.array([1.0, 0.0]), 0.01

    def loss(weights: Floats) -> float:
        fit = np.logaddexp(0, -signs * (design @ weights)).sum()
        return float(fit + ridge / 2 * ((weights - prior) ** 2).sum())

    weights = prior.copy()
    for _ in range(100):
        p = (1 + np.tanh(design @ weights / 2)) / 2
        gradient = design.T @ (p - truth) + ridge * (weights - prior)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + ridge * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while loss(weights - step) > loss(weights) and np.abs(step).max() > 1e-9:
            step = step / 2  # Newton's full step can overshoot far from the minimum
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    slope = float(np.clip(weights[0], 0.05, 20.0))  # never negative: the order must stay
    return {"temperature": round(1 / slope, 5), "bias": round(float(weights[1]), 5)}
