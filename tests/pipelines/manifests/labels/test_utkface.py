"""UTKFace's file names: the good, the five malformed, and labels that no one can have."""

import datetime as dt

import pytest

from pipelines.manifests.labels.utkface import FileLabels, parse_name


def test_well_formed_name_gives_all_four_labels() -> None:
    assert parse_name("26_1_2_20170116184024662.jpg.chip.jpg") == FileLabels(
        26, 1, 2, dt.datetime(2017, 1, 16, 18, 40, 24, 662_000)
    )


def test_plain_jpg_without_chip_is_the_same_convention() -> None:
    assert parse_name("26_1_2_20170116184024662.jpg") == parse_name(
        "26_1_2_20170116184024662.JPG.chip.jpg"
    )


@pytest.mark.parametrize(
    "name",
    ["39_1_20170116174525125.jpg.chip.jpg", "61_1_20170109150557335.jpg.chip.jpg",
     "61_1_20170109142408075.jpg.chip.jpg"],
)  # fmt: skip
def test_missing_race_is_null_and_age_and_gender_are_kept(name: str) -> None:
    parsed = parse_name(name)
    assert isinstance(parsed, FileLabels)
    assert (parsed.age_years, parsed.gender, parsed.race) == (int(name[:2]), 1, None)
    assert parsed.taken_at is not None


@pytest.mark.parametrize(
    ("name", "repaired"),
    [
        ("24_0_1_20170116220224657 .jpg.chip.jpg", "24_0_1_20170116220224657.jpg.chip.jpg"),
        ("55_0_0_20170116232725357jpg.chip.jpg", "55_0_0_20170116232725357.jpg.chip.jpg"),
    ],
)
def test_stray_space_and_missing_dot_are_repaired(name: str, repaired: str) -> None:
    assert isinstance(parse_name(name), FileLabels)
    assert parse_name(name) == parse_name(repaired)


@pytest.mark.parametrize("digits", ["2017011618402466", "201701161840246620", "20171316184024662"])
def test_impossible_time_is_null_and_labels_stay(digits: str) -> None:
    assert parse_name(f"26_1_2_{digits}.jpg.chip.jpg") == FileLabels(26, 1, 2, None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("117_0_0_20170116184024662.jpg", "age 117 is outside 0-116"),
        ("26_2_0_20170116184024662.jpg", "gender 2 is neither 0 (male) nor 1 (female)"),
        ("26_0_5_20170116184024662.jpg", "race 5 is outside 0-4"),
    ],
)
def test_label_out_of_range_is_named(name: str, reason: str) -> None:
    assert parse_name(name) == reason


@pytest.mark.parametrize(
    "name",
    ["IMG_0001.jpg", "26_1_2.jpg", "26__2_20170116184024662.jpg", "-1_0_0_20170116184024662.jpg",
     "x26_1_2_20170116184024662.jpg", "26_1_2_20170116184024662.png", ""],
)  # fmt: skip
def test_other_name_gives_a_reason(name: str) -> None:
    assert parse_name(name) == "the name is not [age]_[gender]_[race]_[datetime].jpg"


@pytest.mark.parametrize("age", [0, 116])
def test_youngest_and_oldest_legal_age_are_kept(age: int) -> None:
    parsed = parse_name(f"{age}_0_4_20170116184024662.jpg.chip.jpg")
    assert isinstance(parsed, FileLabels)
    assert parsed.age_years == age
