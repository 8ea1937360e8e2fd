"""Heads: labels become targets, outputs become columns."""

import numpy as np
import pytest

from model import heads, labels
from model.heads import Head

DISTRIBUTION = Head("age", "age_years", "distribution")


def test_unlabelled_stays_nan_in_every_kind() -> None:
    for head in (heads.GENDER, heads.AGE, heads.AGE_GROUPS, heads.RACE, DISTRIBUTION):
        target = heads.encode_target(head, [np.nan, 1.0])
        assert (target.shape, target.dtype) == ((2, 1), np.float32)
        assert np.isnan(target[0, 0])
        assert not np.isnan(target[1, 0])


def test_age_classes_learn_the_bin_and_a_value_head_the_years() -> None:
    assert heads.encode_target(heads.AGE_GROUPS, [5, 11, 116]).ravel().tolist() == [0, 1, 11]
    assert heads.encode_target(heads.AGE, [5, 11, 116]).ravel().tolist() == [5, 11, 116]


def test_width_and_activation_belong_to_the_kind() -> None:
    kinds = [(h.width, h.activation) for h in (heads.GENDER, heads.AGE, DISTRIBUTION, heads.RACE)]
    assert kinds == [(1, "sigmoid"), (1, "relu"), (117, "softmax"), (5, "softmax")]


def test_bins_of_an_age_head_are_those_it_was_named_after() -> None:
    assert heads.AGE_GROUPS.bins == labels.DECADES


def test_read_out_of_sigmoid_and_two_class_gender_agree() -> None:
    softmax = Head("gender", "gender", "classes", labels.GENDERS)
    one = heads.read_out([heads.GENDER], {"gender": [[0.25], [0.75]]})
    two = heads.read_out([softmax], {"gender": [[0.75, 0.25], [0.25, 0.75]]})
    assert one["p_female"].tolist() == two["p_female"].tolist() == [0.25, 0.75]


def test_read_out_of_an_age_value_stays_legal() -> None:
    columns = heads.read_out([heads.AGE], {"age": [[-3.0], [30.5], [200.0]]})
    assert columns["age_years"].tolist() == [0.0, 30.5, 116.0]


def test_read_out_of_a_distribution_is_its_expectation() -> None:
    output = np.zeros((1, 117), dtype=np.float32)
    output[0, [20, 40]] = 0.25, 0.75
    assert heads.read_out([DISTRIBUTION], {"age": output})["age_years"].tolist() == [35.0]


def test_read_out_of_age_classes_gives_group_and_expected_age() -> None:
    output = np.zeros((1, heads.AGE_GROUPS.width), dtype=np.float32)
    output[0, [1, 2]] = 0.4, 0.6
    columns = heads.read_out([heads.AGE_GROUPS], {"age_group": output})
    assert columns["age_group"].tolist() == [2.0]
    assert columns["age_years"][0] == pytest.approx(0.4 * 15.5 + 0.6 * 25.5)


def test_read_out_of_race_is_the_likeliest_class() -> None:
    columns = heads.read_out([heads.RACE], {"race": [[0.1, 0.2, 0.5, 0.1, 0.1]]})
    assert columns["race"].tolist() == [2.0]
    assert set(columns) == {"race"}


def test_ranges_are_both_ends_for_a_distribution_and_the_middle_for_a_number() -> None:
    nan = np.nan
    age, low, high = [30.0, 24.5, nan, nan], [nan, 20.0, 70.0, nan], [nan, 29.0, 116.0, nan]
    distribution = heads.Head("age", "age_years", "distribution")
    assert np.array_equal(
        heads.encode_target(distribution, age, low, high),
        np.float32([[30, 30], [20, 29], [70, 116], [nan, nan]]),
        equal_nan=True,
    )
    assert np.array_equal(
        heads.encode_target(heads.AGE, age, low, high),
        np.float32([[30], [24.5], [nan], [nan]]),
        equal_nan=True,
    )
    exact = heads.encode_target(distribution, [30.0, nan], [nan, nan], [nan, nan])
    assert exact.shape == (2, 1)  # as before there were ranges


def test_a_class_head_learns_a_range_that_lies_in_one_class() -> None:
    nan = np.nan
    adience = heads.Head("g", "age_years", "classes", labels.bin_names(labels.LEVI_HASSNER))
    age, low, high = [nan, nan, 28.5, 5.0], [60.0, 20.0, 25.0, nan], [100.0, 60.0, 32.0, nan]
    found = heads.encode_target(adience, age, low, high).ravel().tolist()
    assert found[::2] + found[3:] == [7, 4, 1]
    assert np.isnan(found[1])
