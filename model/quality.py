"""How good labelled predictions are: curves, calibration, coverage and subgroups, with intervals.

What jobs.evaluate prints is model/metrics.py; here is what a report shows beside it.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model import labels
from model.metrics import Estimate, bootstrap_weights, estimate_mean

Floats = npt.NDArray[np.floating[Any]]
CALIBRATION_BINS = 15  # as Guo 2017
SMALL_CELL = 30  # under it a cell is greyed: its figures say little
_Z95 = 1.959964
DENSITY_YEARS = 5


def wilson(hits: float, count: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927); (nan, nan) of nothing."""
    if count == 0:
        return math.nan, math.nan
    share, z2 = hits / count, _Z95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def share(hits: npt.NDArray[np.bool_]) -> Estimate:
    """A share of images with its Wilson interval."""
    low, high = wilson(float(hits.sum()), len(hits))
    return Estimate(float(hits.mean()) if len(hits) else math.nan, low, high, len(hits))


def reliability(p: Floats, truth: npt.NDArray[np.bool_]) -> list[dict[str, float]]:
    """Predicted against seen share of positives, in equal bins of p that hold an image."""
    index = _calibration_bin(p)
    rows: list[dict[str, float]] = []
    for k in range(CALIBRATION_BINS):
        inside = index == k
        if inside.any():
            low, high = wilson(float(truth[inside].sum()), int(inside.sum()))
            rows.append(
                {"predicted": float(p[inside].mean()), "seen": float(truth[inside].mean())}
                | {"low": low, "high": high, "images": int(inside.sum())}
            )
    return rows


def _calibration_bin(p: Floats) -> npt.NDArray[np.int64]:
    return np.minimum((np.asarray(p) * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def calibration_error(p: Floats, truth: npt.NDArray[np.bool_], seed: int = 0) -> Estimate:
    """Expected calibration error of P(female) over 15 equal bins, with its bootstrap interval.

    The stricter, class-wise reading: male and female errors do not cancel as they can in the
    confidence of the likelier class.
    """
    index, gap = _calibration_bin(p), np.asarray(p, np.float64) - truth

    def of(weights: Floats) -> float:
        return float(np.abs(np.bincount(index, weights * gap)).sum() / weights.sum())

    draws = [of(row) for row in bootstrap_weights(len(gap), seed)]
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(of(np.ones(len(gap))), float(low), float(high), len(gap))


def roc(p: Floats, truth: npt.NDArray[np.bool_], points: int = 100) -> list[tuple[float, float]]:
    """(false positive rate, true positive rate) from (0, 0) to (1, 1), thinned to `points`."""
    order = np.argsort(-np.asarray(p, np.float64), kind="stable")
    ordered = np.asarray(p)[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(order) - 1)  # ties move together
    hits = np.cumsum(truth[order])[ends] / max(1, truth.sum())
    misses = np.cumsum(~truth[order])[ends] / max(1, (~truth).sum())
    keep = np.unique(np.linspace(0, len(ends) - 1, points).astype(int))
    return [(0.0, 0.0), *zip(misses[keep].tolist(), hits[keep].tolist(), strict=True)]


def cumulative_score(error: Floats, max_years: int = 20) -> list[dict[str, float]]:
    """CS(k): share of images whose age is off by at most k years, for k = 0 … `max_years`."""
    size = np.abs(error)
    return [{"years": k, "share": float((size <= k).mean())} for k in range(max_years + 1)]


def confusion(true_age: Floats, age: Floats, bins: labels.Bins) -> list[list[int]]:
    """Images by true (row) and predicted (column) age group."""
    size = len(bins)
    flat = labels.bin_of(true_age, bins) * size + labels.bin_of(age, bins)
    return np.bincount(flat, minlength=size * size).reshape(size, size).tolist()


@dataclasses.dataclass(frozen=True)
class Cell:
    """One subgroup and its figures; None where a label or a prediction is missing."""

    group: Mapping[str, str]
    images: int
    age_mae: Estimate | None
    gender_accuracy: Estimate | None
    coverage: Estimate | None

    @property
    def small(self) -> bool:
        """Whether it holds too few images to say much."""
        return self.images < SMALL_CELL


def cells(
    columns: Mapping[str, Floats],
    groups: Mapping[str, npt.NDArray[Any]],
    seed: int = 0,
    images: Any = None,
) -> list[Cell]:
    """Every non-empty combination of `groups`, the worst mean age error first.

    Args:
        columns: age_error, gender_hit and covered, float (n,), NaN where unknown.
        groups: name -> labels as text, (n,), "" where unknown.
        seed: of the bootstrap.
        images: what each row shows, (n,): copies are drawn together; None: each its own.
    """
    names = list(groups)
    keys: Any = np.stack([groups[name].astype(str) for name in names], axis=1)
    subgroups: list[Cell] = []
    for key in sorted(set(map(tuple, keys.tolist()))):
        if "" in key:
            continue
        rows = (keys == np.asarray(key)).all(axis=1)
        error, hit, covered = (
            values[rows & ~np.isnan(values)]
            for values in (columns["age_error"], columns["gender_hit"], columns["covered"])
        )
        shown = None if images is None else images[rows & ~np.isnan(columns["age_error"])]
        subgroups.append(
            Cell(
                dict(zip(names, key, strict=True)),
                int(rows.sum()),
                estimate_mean(np.abs(error), bootstrap_weights(len(error), seed, shown))
                if len(error)
                else None,
                share(hit > 0.5) if len(hit) else None,
                share(covered > 0.5) if len(covered) else None,
            )
        )
    return sorted(subgroups, key=lambda c: (c.small, -(c.age_mae.value if c.age_mae else 0.0)))


def gap(subgroups: Sequence[Cell], measure: str) -> dict[str, Any] | None:
    """Best against worst cell of at least 30 images, and whether the gap can be chance.

    The z test of the difference (standard errors from the 95 % intervals) is corrected for having
    picked the extremes among all pairs (Bonferroni); significant means p < 0.05 after that.
    """
    usable = [cell for cell in subgroups if not cell.small and getattr(cell, measure) is not None]
    if len(usable) < 2:
        return None
    ranked = sorted(usable, key=lambda cell: getattr(cell, measure).value)
    low, high = ranked[0], ranked[-1]
    a, b = getattr(low, measure), getattr(high, measure)
    errors = [(e.high - e.low) / (2 * _Z95) for e in (a, b)]
    spread = math.hypot(*errors)
    z = (b.value - a.value) / spread if spread else math.inf
    pairs = len(list(itertools.combinations(usable, 2)))
    p_value = min(1.0, math.erfc(abs(z) / math.sqrt(2)) * pairs)
    return {
        "measure": measure, "gap": b.value - a.value, "p_value": p_value,
        "significant": p_value < 0.05, "cells": len(usable),
        "least": {"group": dict(low.group), "value": a.value},
        "most": {"group": dict(high.group), "value": b.value},
    }  # fmt: skip
