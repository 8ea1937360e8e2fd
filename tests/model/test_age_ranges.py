"""Labels that are ranges: the groups that they form, and predictions judged by them."""

import numpy as np
import pytest

from model.age_ranges import distance, groups_of, measure

FAIRFACE = ((0, 2), (3, 9), (10, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, 116))
ADIENCE = ((0, 2), (4, 6), (8, 12), (15, 20), (25, 32), (38, 43), (48, 53), (60, 100))


def ends(pairs: object) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.array(pairs, dtype=np.float32).T
    return low, high


def test_the_distance_is_that_of_whole_years_and_an_open_range_has_no_upper_end() -> None:
    age = np.array([19.4, 19.5, 29.4, 29.5, 35.0, 116.0])
    low, high = ends([(20, 29)] * 5 + [(70, 116)])
    assert distance(age, low, high).tolist() == [1, 0, 0, 1, 6, 0]


@pytest.mark.parametrize("groups", [FAIRFACE, ADIENCE])
def test_ranges_that_overlap_nowhere_are_groups(groups: tuple[tuple[int, int], ...]) -> None:
    assert groups_of(*ends(groups * 3)) == groups


def test_a_few_ranges_across_groups_are_none_and_many_leave_no_groups() -> None:
    strays = [(38, 48), (8, 23)]  # as in Adience's files
    assert groups_of(*ends([*ADIENCE * 3, *strays])) == ADIENCE
    assert groups_of(*ends([(0, 10), (5, 15), (10, 20), (12, 22)])) == ()
    assert groups_of(*ends([(20, 29)] * 9)) == ()


def test_predictions_are_judged_by_group_and_the_one_beside_it() -> None:
    labels = [(20, 29), (20, 29), (30, 39), (40, 49), (10, 19), (np.nan, np.nan), (20, 29)]
    age = np.array([25.0, 30.0, 55.0, 49.3, 29.9, 25.0, np.nan])
    found = measure(age, *ends(labels))
    assert found["age_in_range"].images == 5
    assert found["age_in_range"].value == pytest.approx(2 / 5)
    assert found["age_range_one_off"].value == pytest.approx(4 / 5)


def test_an_age_between_two_groups_belongs_to_the_nearer_one() -> None:
    age = np.array([22.0, 23.5, 34.0, 110.0])
    low, high = ends([(15, 20), (25, 32), (25, 32), (60, 100)])
    found = measure(np.tile(age, 3), np.tile(low, 3), np.tile(high, 3))
    assert found["age_in_range"].value == 1.0


def test_without_groups_or_ranges_there_is_no_figure_of_them() -> None:
    none = np.full(3, np.nan)
    assert measure(np.ones(3), none, none) == {}
    assert set(measure(np.ones(3), *ends([(0, 10), (5, 15), (1, 12)]))) == {"age_in_range"}
