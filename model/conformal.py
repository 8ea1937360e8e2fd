"""Age intervals that hold: split-conformal prediction (Vovk 2005; Lei 2018), pure NumPy.

Three methods share one form. A method starts from a base interval [low, high] per image;
the score of a label y is max(low - y, y - high); the interval at coverage c is
[low - Q, high + Q] with Q the ceil((n + 1) c)-th smallest score of a group of n val images:

============== ========================= ==================================================
method         base interval             groups that get their own Q
============== ========================= ==================================================
predicted-band the predicted age         bands of predicted age (Mondrian)
true-band      the predicted age         bands of the candidate age y (label-conditional)
cqr            quantiles of the softmax  bands of the candidate age y (Romano 2019)
============== ========================= ==================================================

The interval is the hull of all y whose own group reaches it, so it covers more than c. `fit_age`
therefore measures on two halves of val which lower nominal level already covers c, and at least
c - 0.02 in every decade, and asks for that one (the sets are nested in the level, so this is again
split-conformal); then it keeps the narrowest method that covers every age alike.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from model import labels

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
Method = Literal["predicted-band", "true-band", "cqr"]

LEVELS = tuple(round(0.50 + 0.01 * step, 2) for step in range(50))  # 0.50 … 0.99
MIN_BAND_IMAGES = 100  # below it a 90 % quantile rests on fewer than ten images: merge the band
_BAND_RANGE = (0.85, 0.95)  # what every true-age decade should have at 90 %
_DECADE_SLACK = 0.02  # what a decade may fall short of the level
_CHANCE = 0.02  # a decade of 300 images is measured to 0.017: less is no difference between methods


def fit_age(
    columns: Mapping[str, Floats], true_age: Floats, seed: int = 0, pictures: Any = None
) -> dict[str, Any]:
    """Choose a method on two halves of val, then fit it on all of val.

    Args:
        columns: `age_years` (n,) and, from a distribution head, `age_distribution` (n, 117).
        true_age: years (n,), all known.
        seed: of the halves.
        pictures: what each row shows (n,), by name or number: rows of one image (whole, aligned,
            a copy) are in the same half and count once. None: each its own.

    Returns:
        method, bands with their quantile tables, and what each method measured.
    """
    methods: list[Method] = ["predicted-band", "true-band"]
    if "age_distribution" in columns:
        methods.append("cqr")
    shown = np.arange(len(true_age)) if pictures is None else _numbered(pictures)
    order = np.random.default_rng(seed).permutation(int(shown.max()) + 1)
    halves = np.zeros(len(order), dtype=bool)
    halves[order[1::2]] = True
    trials = {m: _trial(m, columns, true_age, shown, halves[shown]) for m in methods}
    measured = {method: figures for method, (figures, _) in trials.items()}

    chosen = choose(measured)
    return {
        **_tables(chosen, columns, true_age, shown),
        "nominal": trials[chosen][1],
        "images": len(order),
        "rule": "narrowest of those within two points of the least shortfall from 85-95 % in "
        "true-age decades; halves of val",
        "measured": measured,
    }


def choose(measured: Mapping[str, Mapping[str, float]]) -> Method:
    """The narrowest method of those that cover every age alike, as far as that can be told.

    Args:
        measured: of each method at least `worst_gap` (shortfall of the worst decade from 85-95 %, a
            share) and `width_years`.
    """
    least = min(figures["worst_gap"] for figures in measured.values())
    alike: Any = [name for name in measured if measured[name]["worst_gap"] <= least + _CHANCE]
    return min(alike, key=lambda name: measured[name]["width_years"])


def _trial(
    method: Method, columns: Mapping[str, Floats], true_age: Floats, shown: Ints, half: Any
) -> tuple[dict[str, float], list[float]]:
    """Fit on one half of val, measure on the other, both ways round.

    Returns:
        (what is covered at 90 % and how widely, the nominal level that covers each of LEVELS).
    """
    shape = (len(LEVELS), len(true_age))
    low, high = np.empty(shape), np.empty(shape)
    for held in (half, ~half):
        others = {k: v[~held] for k, v in columns.items()}
        table = _tables(method, others, true_age[~held], shown[~held])
        kept = {k: v[held] for k, v in columns.items()}
        for row, level in enumerate(LEVELS):
            low[row, held], high[row, held] = intervals(kept, table, level)
    hits = (low <= true_age) & (true_age <= high)
    covered = hits.mean(axis=1)
    decade = labels.bin_of(true_age, labels.DECADES)
    enough = np.flatnonzero(_counts(decade, shown) >= MIN_BAND_IMAGES)
    shares = [hits[:, decade == band].mean(axis=1) for band in enough] or [covered]
    worst = np.minimum(covered, np.min(shares, axis=0) + _DECADE_SLACK)
    reached = [np.flatnonzero(worst >= level) for level in LEVELS]
    nominal = [LEVELS[int(rows[0])] if len(rows) else LEVELS[-1] for rows in reached]
    row = LEVELS.index(nominal[LEVELS.index(0.9)])
    least, most = (float(pick(share[row] for share in shares)) for pick in (min, max))
    gap = max(0.0, _BAND_RANGE[0] - least, most - _BAND_RANGE[1])
    return {
        "coverage": float(covered[row]),
        "width_years": float((high[row] - low[row]).mean()),
        "least_decade": least,
        "most_decade": most,
        "worst_gap": round(gap, 3),
    }, nominal


def _tables(
    method: Method, columns: Mapping[str, Floats], true_age: Floats, shown: Ints
) -> dict[str, Any]:
    """Quantiles of the scores: a list over LEVELS for each band."""
    grouping = columns["age_years"] if method == "predicted-band" else true_age
    bands = _bands(grouping, shown)
    band = labels.bin_of(grouping, bands)
    rows: list[dict[str, Any]] = [
        {
            "low_years": low,
            "high_years": high,
            "images": len(np.unique(shown[band == index])),
            "margin": [],
        }
        for index, (low, high) in enumerate(bands)
    ]
    for level in LEVELS:
        low, high = _base(method, columns, level)
        score = np.maximum(low - true_age, true_age - high)
        for index, row in enumerate(rows):
            inside = score[band == index]
            row["margin"].append(round(conformal_quantile(inside, level, row["images"]), 4))
    return {"method": method, "levels": list(LEVELS), "bands": rows}


def conformal_quantile(scores: Floats, coverage: float, count: int | None = None) -> float:
    """The ceil((n + 1) coverage)-th smallest score; all legal years where n is too small.

    Args:
        scores: years, a row each.
        coverage: share.
        count: n, how many images the rows show; the same share of the rows is then at most the
            score. None: as many as rows.
    """
    count = count or len(scores)
    rank = int(np.ceil((count + 1) * coverage - 1e-9))
    if rank > count:
        return float(labels.MAX_AGE_YEARS)
    place = -(-rank * len(scores) // count)
    return float(np.partition(scores, place - 1)[place - 1])


def _numbered(pictures: Any) -> Ints:
    """0, 1, … for each row, the same for rows of one image, in the order of their first rows."""
    _, first, which = np.unique(np.asarray(pictures), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which]


def _counts(decade: Ints, shown: Ints) -> Ints:
    """Different images in each of DECADES."""
    pairs = np.unique(np.stack([decade, shown]), axis=1)
    return np.bincount(pairs[0], minlength=len(labels.DECADES))


def _bands(ages: Floats, shown: Ints) -> labels.Bins:
    """Decades, merged with the next older one until each holds enough images."""
    counts = _counts(labels.bin_of(ages, labels.DECADES), shown)
    bands: list[tuple[int, int]] = []
    start, held = labels.DECADES[0][0], 0
    for (_, high), count in zip(labels.DECADES, counts, strict=True):
        held += int(count)
        if held >= MIN_BAND_IMAGES:
            bands.append((start, high))
            start, held = high + 1, 0
    if not bands:
        return ((labels.MIN_AGE_YEARS, labels.MAX_AGE_YEARS),)
    bands[-1] = (
        bands[-1][0],
        labels.MAX_AGE_YEARS,
    )  # what is left over is older: the last takes it
    return tuple(bands)


def _base(method: str, columns: Mapping[str, Floats], coverage: float) -> tuple[Floats, Floats]:
    """The interval that the margins widen, (n,) and (n,)."""
    if method != "cqr":
        return columns["age_years"], columns["age_years"]
    cumulative = np.cumsum(columns["age_distribution"], axis=1)
    tail = (1 - coverage) / 2
    return (cumulative < tail).sum(axis=1) * 1.0, (cumulative < 1 - tail).sum(axis=1) * 1.0


def intervals(
    columns: Mapping[str, Floats], age: Mapping[str, Any], coverage: float = 0.9
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Age intervals, clipped to the legal years.

    Args:
        columns: as for `fit_age`.
        age: of the calibration, from `fit_age`.
        coverage: share; rounded up to the next stored level, whose nominal one is taken.

    Returns:
        (low, high), float32 of shape (n,), years.
    """
    levels = np.asarray(age["levels"])
    index = min(int(np.searchsorted(levels, coverage - 1e-9)), len(levels) - 1)
    nominal = age.get("nominal", age["levels"])[
        index
    ]  # calibrations without it ask for the level itself
    index = int(np.searchsorted(levels, nominal - 1e-9))
    low, high = _base(age["method"], columns, float(levels[index]))
    margins = np.array([band["margin"][index] for band in age["bands"]])
    bands = tuple((band["low_years"], band["high_years"]) for band in age["bands"])
    if age["method"] == "predicted-band":
        margin = margins[labels.bin_of(columns["age_years"], bands)]
        low, high = low - margin, high + margin
    else:
        low, high = _label_conditional(low, high, bands, margins, columns["age_years"])
    low, high = (np.clip(v, labels.MIN_AGE_YEARS, labels.MAX_AGE_YEARS) for v in (low, high))
    return low.astype(np.float32), high.astype(np.float32)


def _label_conditional(
    low: Floats, high: Floats, bands: labels.Bins, margins: Floats, age: Floats
) -> tuple[Floats, Floats]:
    """From the youngest to the oldest y whose own band's margin still reaches it."""
    edges = np.asarray(bands, dtype=np.float64)
    starts, ends = edges[:, 0] - 0.5, edges[:, 1] + 0.5  # 10.5 parts the bands 0-10 and 11-20
    lows = np.maximum(low[:, None] - margins, starts)
    highs = np.minimum(high[:, None] + margins, ends)
    empty = lows > highs
    lows, highs = np.where(empty, np.inf, lows), np.where(empty, -np.inf, highs)
    # With negative margins (cqr) no y may be left: the predicted age alone.
    none = empty.all(axis=1)
    return np.where(none, age, lows.min(axis=1)), np.where(none, age, highs.max(axis=1))
