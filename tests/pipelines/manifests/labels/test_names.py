"""Genders in words are understood; codes only where somebody says what they mean."""

import re

import pandas as pd
import pytest

from model.errors import ManifestError, UsageError
from pipelines.manifests.labels.names import genders_of, parse_codes, races_of


@pytest.mark.parametrize(
    ("gender", "texts"),
    [
        ("male", ["male", "Male", "MALE ", "m", "M", "Man", "men", "boy", "m.", "\u00a0m"]),
        ("female", ["female", "Female ", "f", "F", "Woman", "women", "girl", "GIRLS", "w"]),
    ],
)  # fmt: skip
def test_words_of_gender_are_understood(gender: str, texts: list[str]) -> None:
    values, told = genders_of(pd.Series(texts), {}, "l.csv")
    assert set(values) == {gender}
    assert told.counts == {}


@pytest.mark.parametrize("code", ["0", "1", "1.0", "2", "True", " 0 "])
def test_a_code_without_a_rule_is_an_error_that_says_how_data_sets_differ(code: str) -> None:
    with pytest.raises(ManifestError) as error:
        genders_of(pd.Series(["male", code]), {}, "l.csv")
    for part in ("UTKFace has 0 = male", "IMDB-WIKI has 0 = female", "`gender_codes`"):
        assert part in str(error.value)


def test_minus_one_is_unknown_among_words_and_a_code_beside_one() -> None:
    values, told = genders_of(pd.Series(["male", "-1"]), {}, "l.csv")
    assert (values.fillna("-").to_list(), told.counts) == (["male", "-"], {"genders_unknown": 1})
    with pytest.raises(ManifestError, match="codes gender by numbers"):
        genders_of(pd.Series(["-1", "1"]), {}, "l.csv")  # CelebA's


def test_given_codes_are_followed_and_words_stay_words() -> None:
    texts = pd.Series(["0", "1.0", "male", "7", "", "nan", "-1"])
    values, told = genders_of(texts, parse_codes("0=female, 1=Male"), "l.csv")
    assert values.fillna("-").to_list() == ["female", "male", "male", "-", "-", "-", "-"]
    assert told.counts == {"genders_unknown": 3, "genders_empty": 1}
    assert told.notes[0] == (
        "genders: 3 are none of male, female (the first: '7', 'nan', '-1'); they become null; "
        "`gender_codes` can say what they mean"
    )


def test_codes_may_be_any_text() -> None:
    codes = parse_codes("homme=male,femme=female,true=female")
    values, _ = genders_of(pd.Series(["Homme", "femme", "True"]), codes, "l.csv")
    assert values.to_list() == ["male", "female", "female"]


@pytest.mark.parametrize("text", ["", "0", "0=male,0=female", "0=x", "=male", "male"])
def test_codes_that_say_nothing_are_refused(text: str) -> None:
    message = f"`gender_codes` {text}: name each code once and give it male or female"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        parse_codes(text)


def test_races_that_are_none_of_the_five_are_null_and_counted() -> None:
    values, told = races_of(pd.Series(["White", "2", "Latino_Hispanic", ""]))
    assert values.fillna("-").to_list() == ["white", "asian", "-", "-"]
    assert told.counts == {"races_unknown": 1, "races_empty": 1}
