"""Weights of examples by the rarity of their label, for the loss alone."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from model import labels

# A group a tenth as frequent as the most frequent one weighs tenfold, and rarer ones no more: a
# handful of people over 100 would else weigh as much as all those in their twenties.
MOST = 10.0


def example_weights(
    balance: Literal["none", "age", "gender"],
    age_years: npt.NDArray[np.float32],
    gender: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Inverse-frequency weights, the rarest groups capped at `MOST` times the most frequent.

    Args:
        balance: by decades of age, by gender, or none.
        age_years: shape (n,), NaN where unlabelled.
        gender: shape (n,), codes of labels.GENDERS, NaN where unlabelled.

    Returns:
        float32 (n,): mean 1 over the labelled; an unlabelled example weighs 1.
    """
    weights = np.ones(len(age_years), dtype=np.float64)
    values = age_years if balance == "age" else gender
    known = ~np.isnan(values)
    if balance == "none" or not known.any():
        return weights.astype(np.float32)
    groups = values[known].astype(np.int64)
    if balance == "age":
        groups = np.asarray(labels.bin_of(values[known], labels.DECADES)).astype(np.int64)
    counts = np.bincount(groups)
    share = counts[groups] / counts.max()
    weights[known] = np.minimum(1.0 / share, MOST)
    weights[known] *= known.sum() / weights[known].sum()
    return weights.astype(np.float32)
