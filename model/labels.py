"""The label space: what each class means and which ages are legal. The network's contract.

UTKFace's codes are kept (https://susanqq.github.io/UTKFace/): gender 0 male, 1 female; race 0-4.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

GENDERS = ("male", "female")
RACES = ("white", "black", "asian", "indian", "other")
MIN_AGE_YEARS, MAX_AGE_YEARS = 0, 116  # the range of UTKFace, and of our age distributions

Bins = tuple[tuple[int, int], ...]  # inclusive (low, high) pairs, ascending, in years

DECADES: Bins = ((0, 10), *((low, low + 9) for low in range(11, 111, 10)), (111, MAX_AGE_YEARS))
"""0-10, 11-20, 21-30, …: what the notebook behind the seed presets proposes."""

LEVI_HASSNER: Bins = (
    (0, 2), (4, 6), (8, 13), (15, 20), (25, 32), (38, 43), (48, 53), (60, MAX_AGE_YEARS),
)  # fmt: skip
"""The eight Adience classes of Levi & Hassner 2015. They leave gaps; `bin_of` fills them."""


def bin_of(ages_years: npt.ArrayLike, bins: Bins) -> npt.NDArray[np.int32]:
    """Index of the bin nearest to each age.

    An age in a gap goes to the bin whose edge is nearest, ties to the younger bin
    (3 -> 0-2, 7 -> 4-6, 14 -> 8-13, 22 -> 15-20, 23 -> 25-32).

    Args:
        ages_years: shape (n,), years.
        bins: inclusive (low, high) pairs, ascending.

    Returns:
        int32 of shape (n,), in [0, len(bins)).
    """
    ages = np.asarray(ages_years, dtype=np.float64)[:, None]
    low, high = np.asarray(bins, dtype=np.float64).T
    # A fractional age between two touching bins (10.4) is nearest to one of them as well.
    distance = np.maximum(np.maximum(low - ages, ages - high), 0.0)
    return distance.argmin(axis=1).astype(np.int32)


def bin_names(bins: Bins) -> tuple[str, ...]:
    """Names for people: `0-10`, `11-20`, … and `60+` for a last bin open to the top."""
    return tuple(f"{lo}+" if hi >= MAX_AGE_YEARS else f"{lo}-{hi}" for lo, hi in bins)


def bin_centres(names: Sequence[str]) -> npt.NDArray[np.float32]:
    """Middle of each named bin in years, float32 of shape (len(names),).

    An open last bin `60+` counts as ten years wide: its centre is 65.
    """
    centres: list[float] = []
    for name in names:
        low, _, high = name.removesuffix("+").partition("-")
        centres.append((int(low) + int(high)) / 2 if high else int(low) + 5.0)
    return np.asarray(centres, dtype=np.float32)
