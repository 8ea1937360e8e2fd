"""The label space: classes keep their meaning and every legal age has one bin."""

import numpy as np
import pytest

from model import labels


def test_seed_decades_follow_the_readme_of_the_seed() -> None:
    assert labels.DECADES[:3] == ((0, 10), (11, 20), (21, 30))
    assert labels.DECADES[-1] == (111, 116)


@pytest.mark.parametrize("bins", [labels.DECADES, labels.LEVI_HASSNER])
def test_every_age_inside_a_bin_gets_that_bin(bins: labels.Bins) -> None:
    for index, (low, high) in enumerate(bins):
        ages = np.arange(low, high + 1)
        assert labels.bin_of(ages, bins).tolist() == [index] * len(ages)


@pytest.mark.parametrize(
    ("age", "bin_name"),
    [(3, "0-2"), (7, "4-6"), (14, "8-13"), (22, "15-20"), (23, "25-32"), (35, "25-32"),
     (36, "38-43"), (45, "38-43"), (46, "48-53"), (56, "48-53"), (57, "60+"), (116, "60+")],
)  # fmt: skip
def test_age_in_a_gap_goes_to_the_nearest_bin_and_ties_to_the_younger(
    age: int, bin_name: str
) -> None:
    index = labels.bin_of([age], labels.LEVI_HASSNER)[0]
    assert labels.bin_names(labels.LEVI_HASSNER)[index] == bin_name


def test_fractional_age_between_touching_bins_goes_to_the_nearer_one() -> None:
    assert labels.bin_of([10.4, 10.5, 10.6], labels.DECADES).tolist() == [0, 0, 1]


def test_bin_names_are_inclusive_and_the_last_is_open() -> None:
    names = labels.bin_names(labels.LEVI_HASSNER)
    assert names == ("0-2", "4-6", "8-13", "15-20", "25-32", "38-43", "48-53", "60+")
    assert labels.bin_names(labels.DECADES)[-1] == "111+"


def test_bin_centre_is_the_middle_and_an_open_bin_counts_ten_years() -> None:
    centres = labels.bin_centres(labels.bin_names(labels.LEVI_HASSNER))
    assert centres.tolist() == [1.0, 5.0, 10.5, 17.5, 28.5, 40.5, 50.5, 65.0]
    assert centres.dtype == np.float32


def test_codes_are_those_of_utkface() -> None:
    assert labels.GENDERS == ("male", "female")
    assert labels.RACES == ("white", "black", "asian", "indian", "other")
