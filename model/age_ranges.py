"""Ages that are known as ranges: which groups they form, and how often a prediction hits them."""

import numpy as np
import numpy.typing as npt

from model import labels
from model.metrics import Estimate, Floats, bootstrap_weights, estimate_mean

SPREAD_YEARS = 10  # most years between the ends of a range that one number can stand for
_MIN_SHARE = 0.9  # of the ranges: where fewer are of the groups, there are no groups


def distance(age: Floats, low: Floats, high: Floats) -> npt.NDArray[np.float64]:
    """Years from predicted ages to labelled ranges, 0 within; in whole years, as labels are.

    An age of 29.4 is 29, so it lies in 20-29. A range that ends at the highest legal age is open.

    Args:
        age: predicted, in years; shape (n,).
        low: lowest age of each range, in years; shape (n,).
        high: highest age, in years; shape (n,).
    """
    top = np.where(high >= labels.MAX_AGE_YEARS, np.inf, high)
    whole = np.floor(np.asarray(age, np.float64) + 0.5)
    return np.maximum(np.maximum(low - whole, whole - top), 0.0)


def groups_of(low: Floats, high: Floats) -> labels.Bins:
    """The groups that ranges form, in years, or () where they form none.

    The more frequent ranges first, those that overlap none before them: Adience's (38, 48) is no
    group beside its (38, 43) and (48, 53). Nine tenths of the ranges must be of a group.

    Args:
        low: lowest age of each range, in years, no NaN; shape (n,).
        high: highest age, in years; shape (n,).
    """
    pairs, counts = np.unique(np.stack([low, high], axis=1), axis=0, return_counts=True)
    kept: list[tuple[int, int]] = []
    covered = 0
    for index in np.argsort(-counts, kind="stable"):
        first, last = (int(edge) for edge in pairs[index])
        if all(last < other[0] or other[1] < first for other in kept):
            kept.append((first, last))
            covered += int(counts[index])
    if len(kept) < 2 or covered < _MIN_SHARE * len(low):
        return ()
    return tuple(sorted(kept))


def measure(age: Floats, low: Floats, high: Floats, seed: int = 0) -> dict[str, Estimate]:
    """How often the predicted age is in the labelled range.

    Args:
        age: predicted, in years, NaN where unknown; shape (n,).
        low: lowest age of a label that is a range, in years, else NaN; shape (n,).
        high: highest age, likewise; shape (n,).
        seed: of the bootstrap.

    Returns:
        `age_in_range` (share); where the ranges form groups, an age between two of them belongs to
        the nearer one, and `age_range_one_off` is the share of ages in the labelled group or one
        beside it. Nothing where no label is a range.
    """
    known = ~(np.isnan(age) | np.isnan(low) | np.isnan(high))
    if not known.any():
        return {}
    age, low, high = age[known], low[known], high[known]
    inside = distance(age, low, high) == 0
    groups = groups_of(low, high)
    index = {pair: number for number, pair in enumerate(groups)}
    place = [index.get((int(a), int(b)), -1) for a, b in zip(low, high, strict=True)]
    of_group = np.array(place) >= 0
    apart = np.abs(labels.bin_of(age, groups) - place) if groups else np.zeros(len(age))
    inside = np.where(of_group, apart == 0, inside)
    found = {"age_in_range": _share(inside, seed)}
    if groups:
        found["age_range_one_off"] = _share(apart[of_group] <= 1, seed)
    return found


def _share(hit: npt.NDArray[np.bool_], seed: int) -> Estimate:
    return estimate_mean(hit.astype(np.float64), bootstrap_weights(len(hit), seed))
