"""Examples weighed by the rarity of their label."""

import numpy as np
import pytest

from model.weighting import MOST, example_weights

AGES = np.array([25] * 60 + [35] * 30 + [95] * 2 + [np.nan] * 3, dtype=np.float32)
GENDERS = np.array([0] * 70 + [1] * 20 + [np.nan] * 5, dtype=np.float32)


def test_without_balance_every_example_weighs_one() -> None:
    assert (example_weights("none", AGES, GENDERS) == 1).all()


def test_genders_weigh_the_same_in_sum_and_one_on_the_average() -> None:
    weights = example_weights("gender", AGES, GENDERS)
    assert weights[GENDERS == 0].sum() == pytest.approx(weights[GENDERS == 1].sum(), rel=1e-5)
    assert weights[:90].mean() == pytest.approx(1, rel=1e-5)
    assert (weights[90:] == 1).all()  # unlabelled


def test_rare_ages_weigh_more_but_no_more_than_the_cap() -> None:
    weights = example_weights("age", AGES, GENDERS)
    assert weights[60] / weights[0] == pytest.approx(2, rel=1e-5)
    assert weights[90] / weights[0] == pytest.approx(MOST, rel=1e-5)  # 30 times as rare
