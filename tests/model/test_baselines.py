"""A network that gives one answer to everybody is told to be no better than a constant."""

import dataclasses

import numpy as np
import pytest

from model import age_ranges, baselines, labels, metrics

RNG = np.random.default_rng(0)
AGES = RNG.integers(1, 90, 400).astype(np.float32)
FEMALE = (RNG.random(400) < 0.4).astype(np.float32)


def told(age: object, p_female: object) -> str:
    columns = {"age_years": np.broadcast_to(np.float32(age), 400)} if age is not None else {}
    columns["p_female"] = np.broadcast_to(np.float32(p_female), 400)  # type: ignore[arg-type]
    estimates = metrics.measure(columns, AGES, FEMALE, labels.DECADES)
    return baselines.no_better(estimates, baselines.constants(AGES, FEMALE, labels.DECADES))


def test_the_constants_are_the_median_and_the_more_frequent() -> None:
    found = baselines.constants(np.array([1, 20, 90, np.nan]), np.array([1, 1, 0, np.nan]), None)
    assert (found.age_years, found.age_mae) == (20.0, pytest.approx(89 / 3))
    assert (found.gender, found.gender_accuracy) == ("female", pytest.approx(2 / 3))
    assert found.age_group is None


def test_everyone_male_and_26_is_no_better_than_a_constant() -> None:
    share = f"{(FEMALE == 0).mean():.1%}"
    text = told(26, 0.1)
    assert text.startswith("no better than a constant on these labels: age (MAE ")
    assert f"of always predicting {np.median(AGES):g})" in text
    assert text.endswith(f"gender ({share} right, {share} of always predicting male)")


def test_a_network_that_has_learnt_something_is_told_nothing() -> None:
    assert told(AGES + 5, np.where(FEMALE > 0.5, 0.9, 0.2)) == ""


def test_only_what_is_no_better_is_named() -> None:
    text = told(AGES + 5, 0.1)
    assert "age" not in text and "gender" in text


def test_a_little_better_within_the_interval_is_not_shown_to_be_better() -> None:
    nearly = np.where((FEMALE > 0.5) & (np.arange(400) % 20 == 0), 0.9, 0.1)
    assert told(AGES, nearly).startswith("not shown to be better than a constant")


def test_a_network_of_age_groups_alone_is_compared_with_the_most_frequent_one() -> None:
    group = np.full(400, 3.0, dtype=np.float32)
    estimates = metrics.measure({"age_group": group}, AGES, FEMALE, labels.DECADES)
    constant = baselines.constants(AGES, FEMALE, labels.DECADES)
    assert "age group (" in baselines.no_better(estimates, constant)


def test_labels_that_are_all_one_say_nothing() -> None:
    same = np.full(400, 30.0, dtype=np.float32)
    constant = baselines.constants(same, np.ones(400, dtype=np.float32), labels.DECADES)
    assert constant == baselines.Constants()


def test_a_bundle_s_record_says_it_and_those_of_0_1_0_cannot() -> None:
    bad = metrics.Estimate(20.0, 19.0, 21.0, 9)
    record = {"metrics": {"val": {"age_mae": dataclasses.asdict(bad)}}}
    assert baselines.of_record(record, "val") == ""
    known = dataclasses.asdict(baselines.Constants(age_years=26.0, age_mae=12.5))
    text = baselines.of_record(record | {"constants": {"val": known}}, "val")
    assert text == (
        "no better than a constant on these labels: age (MAE 20.00 years, 12.50 of always "
        "predicting 26)"
    )


def test_one_answer_to_ranges_of_ages_is_no_better_than_the_most_frequent_range() -> None:
    low = np.array([20.0, 20, 20, 70, np.nan] * 8)
    high = np.array([29.0, 29, 29, 116, np.nan] * 8)
    constant = baselines.with_ranges(baselines.Constants(), low, high)
    assert (constant.age_range, constant.age_in_range) == ("20-29", 0.75)
    collapsed = age_ranges.measure(np.full(40, 25.0), low, high)
    assert "age range (75.0% right, 75.0% of always predicting 20-29)" in baselines.no_better(
        collapsed, constant
    )
    right = age_ranges.measure(np.nan_to_num(low + 3), low, high)
    assert baselines.no_better(right, constant) == ""
    assert baselines.with_ranges(constant, low[:3], high[:3]) == constant
