"""Metrics: right on hand-made cases, with intervals around them, blind to missing values."""

import numpy as np
import pytest

from model import labels
from model.metrics import Estimate, evaluate, evaluate_groups, weighted_auc

NAN = float("nan")


def test_auc_of_a_hand_made_case() -> None:
    truth = np.array([False, False, True, True])
    # pairs: (.4 > .1), (.8 > .1), (.4 = .4 half), (.8 > .4)
    assert weighted_auc(truth, np.array([0.1, 0.4, 0.4, 0.8]), np.ones(4)) == 3.5 / 4


def test_auc_is_the_share_of_ordered_pairs_counted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    truth, score = rng.random(80) < 0.4, rng.integers(0, 12, 80) / 12
    weights = rng.integers(0, 4, 80).astype(float)
    won = total = 0.0
    for i in np.flatnonzero(truth):
        for j in np.flatnonzero(~truth):
            pairs = weights[i] * weights[j]
            total += pairs
            won += pairs * (1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0)
    assert weighted_auc(truth, score, weights) == pytest.approx(won / total)


def test_auc_without_both_classes_is_undefined() -> None:
    assert np.isnan(weighted_auc(np.array([True, True]), np.array([0.1, 0.9]), np.ones(2)))


def test_values_of_a_hand_made_case() -> None:
    result = evaluate(
        np.array([10.0, 20.0, 30.0, 40.0]),
        np.array([12.0, 14.0, 30.0, 45.0]),
        np.array([0.0, 1.0, 1.0, 0.0]),
        np.array([0.2, 0.5, 0.4, 0.9]),
    )
    assert result["age_mae"].value == 13 / 4
    assert result["age_rmse"].value == pytest.approx(np.sqrt((4 + 36 + 0 + 25) / 4))
    assert result["age_bias"].value == 1 / 4
    assert result["age_within_5"].value == 3 / 4
    assert result["gender_accuracy"].value == 2 / 4
    assert result["gender_auc"].value == 2 / 4


def test_interval_holds_the_value_and_narrows_with_more_images() -> None:
    rng = np.random.default_rng(1)

    def width(count: int) -> float:
        truth = rng.uniform(1, 90, count)
        female = (rng.random(count) < 0.5).astype(float)
        p_female = np.clip(0.3 + 0.4 * female + rng.normal(0, 0.2, count), 0, 1)
        result = evaluate(truth, truth + rng.normal(0, 8, count), female, p_female)
        assert len(result) == 6
        for estimate in result.values():
            assert estimate.low < estimate.value < estimate.high
            assert estimate.images == count
        return result["age_mae"].high - result["age_mae"].low

    assert width(1600) < 0.6 * width(200)


def test_interval_is_the_same_for_the_same_seed() -> None:
    ages, guess = np.arange(50.0), np.arange(50.0)[::-1].copy()
    none = np.full(50, NAN)
    assert evaluate(ages, guess, none, none, seed=3) == evaluate(ages, guess, none, none, seed=3)


def test_rows_without_label_or_prediction_do_not_count() -> None:
    result = evaluate(
        np.array([10.0, NAN, 30.0]),
        np.array([11.0, 99.0, NAN]),
        np.array([1.0, NAN, 1.0]),
        np.array([0.9, 0.1, NAN]),
    )
    assert (result["age_mae"].value, result["age_mae"].images) == (1.0, 1)
    assert (result["gender_accuracy"].value, result["gender_accuracy"].images) == (1.0, 1)
    assert "gender_auc" not in result  # one class only


def test_nothing_known_gives_nothing() -> None:
    none = np.full(3, NAN)
    assert evaluate(none, none, none, none) == {}
    assert evaluate_groups(none, none, labels.DECADES) == {}


def test_groups_are_exact_or_one_off_by_the_nearest_adience_bin() -> None:
    ages = np.array([2.0, 7.0, 16.0, 90.0, NAN, 30.0])
    group = np.array([0.0, 2.0, 5.0, 6.0, 3.0, NAN])
    result = evaluate_groups(ages, group, labels.LEVI_HASSNER)
    # 7 lies between 6 and 8: a tie, which goes to the younger bin 4-6, so 8-13 is one off
    assert (result["age_group_exact"].value, result["age_group_exact"].images) == (1 / 4, 4)
    assert result["age_group_one_off"].value == 3 / 4


def test_an_estimate_reads_as_value_and_interval() -> None:
    assert Estimate(6.517, 6.31, 6.74, 10).text() == "6.52 (6.31 to 6.74)"
    assert Estimate(0.8648, 0.858, 0.871, 10).text(1, percent=True) == "86.5 % (85.8 to 87.1)"


def test_few_images_of_one_gender_leave_an_interval_that_is_a_number() -> None:
    female = np.array([1.0, 0, 0, 0, 0, 0])
    unknown = np.full(6, np.nan)
    auc = evaluate(unknown, unknown, female, np.linspace(0.9, 0.1, 6))["gender_auc"]
    assert not np.isnan([auc.low, auc.value, auc.high]).any()


def test_copies_of_a_picture_are_drawn_together_and_make_no_interval_narrower() -> None:
    rng = np.random.default_rng(0)
    true, female = rng.integers(1, 90, 400).astype(float), rng.integers(0, 2, 400).astype(float)
    said, p = true + rng.normal(0, 6, 400), rng.random(400)
    names = np.array([f"{number % 7}-{number}" for number in range(400)])
    once = evaluate(true, said, female, p, pictures=names)
    assert once == evaluate(true, said, female, p)
    columns = [np.repeat(values, 2) for values in (true, said, female, p)]
    twice = evaluate(*columns, pictures=np.repeat(names, 2))
    for name, figure in twice.items():
        expected = [once[name].low, once[name].value, once[name].high]
        assert [figure.low, figure.value, figure.high] == pytest.approx(expected, abs=1e-6)
    alone = evaluate(*columns)["age_mae"]
    assert alone.high - alone.low < 0.8 * (once["age_mae"].high - once["age_mae"].low)
