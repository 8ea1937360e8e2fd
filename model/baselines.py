"""What always giving one answer would score: a network that is no better has learnt nothing."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from model import labels
from model.metrics import Estimate, Floats


@dataclasses.dataclass(frozen=True)
class Constants:
    """The best constant answers to labelled images; None where labels lack or are all one.

    Attributes:
        age_years: the median age, which has the least mean absolute error.
        age_mae: that error, in years.
        gender: the more frequent one.
        gender_accuracy: its share.
        age_group: the most frequent group, for networks that tell nothing but groups.
        age_group_exact: its share.
        age_range: the most frequent labelled range of ages, such as 20-29.
        age_in_range: its share of the labels that are ranges.
    """

    age_years: float | None = None
    age_mae: float | None = None
    gender: str | None = None
    gender_accuracy: float | None = None
    age_group: str | None = None
    age_group_exact: float | None = None
    age_range: str | None = None
    age_in_range: float | None = None


def constants(true_age: Floats, true_female: Floats, bins: labels.Bins | None) -> Constants:
    """The constants of some labels.

    Args:
        true_age: in years, NaN where unknown; shape (n,).
        true_female: 1 female, 0 male, NaN unknown; shape (n,).
        bins: of the column `age_group`, or None.
    """
    result: dict[str, Any] = {}
    ages, females = true_age[~np.isnan(true_age)], true_female[~np.isnan(true_female)]
    if len(ages) and ages.min() < ages.max():
        middle = float(np.median(ages))
        result |= {"age_years": middle, "age_mae": float(np.abs(ages - middle).mean())}
        groups = np.bincount(labels.bin_of(ages, bins)) if bins else np.zeros(1, dtype=int)
        if bins and groups.max() < len(ages):
            name = labels.bin_names(bins)[int(groups.argmax())]
            result |= {"age_group": name, "age_group_exact": float(groups.max() / len(ages))}
    counts = np.bincount(females > 0.5, minlength=2)
    if counts.all():
        most = int(counts.argmax())
        result |= {
            "gender": labels.GENDERS[most], "gender_accuracy": float(counts[most] / len(females)),
        }  # fmt: skip
    return Constants(**result)


def with_ranges(constant: Constants, low: Floats, high: Floats) -> Constants:
    """The constants with that of labels that are ranges of ages, in years; NaN where they are none.

    Args:
        constant: of the same labels.
        low: lowest age of each range; shape (n,).
        high: highest age; shape (n,).
    """
    known = ~np.isnan(low)
    pairs, counts = np.unique(np.stack([low, high])[:, known], axis=1, return_counts=True)
    if len(counts) < 2:  # none, or all one
        return constant
    (first, last), share = pairs[:, counts.argmax()], float(counts.max() / known.sum())
    (name,) = labels.bin_names(((int(first), int(last)),))
    return dataclasses.replace(constant, age_range=name, age_in_range=share)


def no_better(estimates: Mapping[str, Estimate], constant: Constants) -> str:
    """A sentence on the figures whose 95 % interval holds the constant's, or passes it; else empty.

    Args:
        estimates: of `metrics.measure`.
        constant: of the same labels.
    """
    parts: list[str] = []
    worse: list[bool] = []
    age, gender = estimates.get("age_mae"), estimates.get("gender_accuracy")
    of_range = estimates.get("age_in_range")
    group = None if age else estimates.get("age_group_exact")
    if age and constant.age_mae is not None and age.high >= constant.age_mae:
        worse.append(age.value >= constant.age_mae)
        parts.append(
            f"age (MAE {age.value:.2f} years, {constant.age_mae:.2f} of always predicting "
            f"{constant.age_years:g})"
        )
    for name, figure, least, answer in (
        ("age group", group, constant.age_group_exact, constant.age_group),
        ("age range", of_range, constant.age_in_range, constant.age_range),
        ("gender", gender, constant.gender_accuracy, constant.gender),
    ):
        if figure and least is not None and figure.low <= least:
            worse.append(figure.value <= least)
            parts.append(
                f"{name} ({figure.value:.1%} right, {least:.1%} of always predicting {answer})"
            )
    if not parts:
        return ""
    start = "no better than a constant" if all(worse) else "not shown to be better than a constant"
    return f"{start} on these labels: {'; '.join(parts)}"


def of_record(record: Mapping[str, Any], split: str) -> str:
    """The sentence of `no_better` on a split that a bundle was measured on; empty if unknown."""
    measured = record.get("metrics", {}).get(split, {})
    known = record.get("constants", {}).get(split)
    if not known:
        return ""
    return no_better({name: Estimate(**e) for name, e in measured.items()}, Constants(**known))
