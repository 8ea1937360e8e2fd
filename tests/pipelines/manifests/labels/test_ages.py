"""Ages as people write them: what is certain is read, what is not is null and counted."""

import re
from pathlib import Path

import pandas as pd
import pytest

from pipelines.manifests.labels.ages import read_age, years_of
from pipelines.manifests.labels.dates import whole

PAGE = Path(__file__).parents[4] / "docs" / "formats.md"


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("25", 25, 25), ("25.0", 25, 25), (" 25 years old ", 25, 25), ("25yo", 25, 25),
        ("0", 0, 0), ("18 months", 1.5, 1.5), ("0.5", 0.5, 0.5),
        ("50-59", 50, 59), ("50 \u2013 59", 50, 59), ("6 to 9", 6, 9), ("age_20_29", 20, 29),
        ("20_29", 20, 29),
        ("between 20 and 30", 20, 30), ("10-19 years", 10, 19), ("20s", 20, 29), ("0-2", 0, 2),
        ("(25, 32)", 25, 32), ("[25,32]", 25, 32), ("25, 32", 25, 32),
        ("[20, 30)", 20, 29), ("(20, 30]", 21, 30),  # half-open, as pandas.cut writes them
        ("more than 70", 71, 116), ("60+", 60, 116), (">70", 71, 116), (">=70", 70, 116),
        ("70 years and older", 70, 116), ("Over 70", 71, 116), ("at least 70", 70, 116),
        ("under 3", 0, 2), ("<3", 0, 2), ("up to 3", 0, 3), ("3 or younger", 0, 3),
        ("9-Mar", 3, 9), ("09-Mar", 3, 9), ("Mar-09", 3, 9), ("19-Oct", 10, 19), ("3-Sep", 3, 9),
        ("4. Jun", 4, 6), ("Oct-40", 10, 40), ("March 9", 3, 9),
        ("09. Mrz", 3, 9), ("9-Mär", 3, 9), ("03. Mai", 3, 5), ("12. Okt", 10, 12),
        ("8-déc.", 8, 12), ("2-févr", 2, 2), ("4-juin", 4, 6), ("4-juil", 4, 7), ("8-août", 8, 8),
        ("3-ago", 3, 8), ("6-set", 6, 9), ("15-dic", 12, 15),
        ("6-12 months", 0.5, 1), ("26 weeks", 0.5, 0.5), ("1 year 6 months", 1.5, 1.5),
        ("1y6m", 1.5, 1.5), ("25 y.o.", 25, 25), ("around 25", 25, 25), ("25\uff5e30", 25, 30),
        ("early 20s", 20, 23), ("mid-20s", 24, 26), ("late 20s", 27, 29), ("teens", 13, 19),
        ("'25", 25, 25), ("\ufeff25\u200b", 25, 25),
    ],
)  # fmt: skip
def test_an_age_or_a_range_is_understood(text: str, low: float, high: float) -> None:
    assert read_age(text) == (low, high)


@pytest.mark.parametrize(
    "text",
    [
        "", "?", "adult", "25,5", "4,6", "59-50", "2026-03-09", "1985-03-09", "(25, 32", "9-Foo",
        "20-",
    ],
)  # fmt: skip
def test_what_is_not_certain_is_no_age(text: str) -> None:
    assert read_age(text) is None


def test_whole_dates_are_ranges_only_beside_ranges_and_with_one_year() -> None:
    ranges = {"2026-03-09": (3, 9), "10/19/2026": (10, 19), "9 Mar 2026": (3, 9), "46090": (3, 9)}
    assert whole([*ranges, "2026-03-01"], has_ranges=True) == ranges  # the 1st may be 3-26 (2026)
    assert whole([*ranges], has_ranges=False) == {}
    assert whole(["2026-03-09", "2025-03-09"], has_ranges=True) == {}  # birthdays have many years
    assert whole(["1985-03-09"], has_ranges=True) == {}  # and earlier ones


def test_a_serial_number_of_a_day_is_a_range_only_beside_ranges() -> None:
    years, told = years_of(pd.Series(["46090", "46090", "20-29"]))  # 2026-03-09
    assert years["age_low_years"].to_list() == [3, 3, 20]
    assert told.counts == {"ages_of_dates": 2, "ages_of_ranges": 1}
    assert years_of(pd.Series(["46090", "25"]))[1].counts == {"ages_illegal": 1}


def test_ranges_keep_their_ends_and_narrow_ones_have_a_middle_all_counted() -> None:
    texts = [
        "50-59",
        "9-Mar",
        "2026-03-09",
        "more than 70",
        "30-49",
        "300",
        "-1",
        "",
        "(0, 2)",
        "8",
    ]
    years, told = years_of(pd.Series(texts))
    assert years["age_years"].fillna(-9).to_list() == [54.5, 6, 6, -9, -9, -9, -9, -9, 1, 8]
    ends = years[["age_low_years", "age_high_years"]].fillna(-9).to_numpy().tolist()
    assert ends == [
        [50, 59], [3, 9], [3, 9], [71, 116], [30, 49], [-9, -9], [-9, -9], [-9, -9], [0, 2],
        [-9, -9],
    ]  # fmt: skip
    assert told.counts == {
        "ages_of_ranges": 2, "ages_of_dates": 2, "ages_of_wide_ranges": 2, "ages_illegal": 2,
        "ages_empty": 1,
    }  # fmt: skip
    assert told.notes[2] == (
        "ages: 2 are open ranges, or wider than 10 years (the first: 'more than 70'), "
        "which have no age_years"
    )


def test_a_decimal_comma_is_one_where_semicolons_separate() -> None:
    assert years_of(pd.Series(["25,5"]), decimal_comma=True)[0]["age_years"].to_list() == [25.5]
    assert years_of(pd.Series(["25,5"]))[0]["age_years"].isna().all()


def test_the_documented_examples_are_what_is_done() -> None:
    """Rows of the table in docs/formats.md: examples, then their years, or null."""
    table = PAGE.read_text().partition("<!-- ages -->")[2].partition("<!-- end -->")[0]
    rows = re.findall(r"^\| (`.*`) \| ([\d.]+|null)\b", table, re.MULTILINE)
    assert len(rows) > 4
    for examples, expected in rows:
        texts = re.findall(r"`([^`]*)`", examples)
        years = years_of(pd.Series([*texts, "20-29"]))[0]["age_years"].iloc[:-1]
        wanted = [] if expected == "null" else [float(expected)] * len(texts)
        assert years.dropna().to_list() == wanted, examples
