"""int8 is kept only where labelled pictures show that it answers as well."""

from typing import Any

import numpy as np
import pytest

from model.backends.acceptance import compare, refusal

COUNT = 4000


@pytest.fixture
def answers() -> tuple[dict[str, Any], Any, Any]:
    """Calibrated columns, ages and genders of made-up people."""
    rng = np.random.default_rng(0)
    age = rng.uniform(1, 90, COUNT)
    female = (rng.random(COUNT) < 0.5).astype(float)
    said = age + rng.normal(0, 6, COUNT)
    columns = {
        "age_years": said, "age_low_years": said - 10, "age_high_years": said + 10,
        "p_female": np.clip(female * 0.6 + rng.normal(0.2, 0.2, COUNT), 0, 1),
    }  # fmt: skip
    return columns, age, female


def test_small_changes_pass(answers: tuple[dict[str, Any], Any, Any]) -> None:
    columns, age, female = answers
    noise = np.random.default_rng(1).normal(0, 0.1, COUNT)
    shifted = {k: v + noise if "age" in k else v for k, v in columns.items()}
    changes = compare(columns, shifted, age, female)
    assert changes["images"] == COUNT
    assert changes["flips"] == 0
    assert changes["age_mae"]["low"] < changes["age_mae"]["value"] < changes["age_mae"]["high"]
    assert refusal(changes) is None


def test_equal_answers_differ_by_nothing(answers: tuple[dict[str, Any], Any, Any]) -> None:
    columns, age, female = answers
    changes = compare(columns, columns, age, female)
    assert changes["age_mae"] == changes["gender_accuracy"] == dict(value=0, low=0, high=0)
    assert changes["coverage"] == changes["flips"] == changes["age_shift"] == 0


def test_losses_are_refused_with_their_figures(answers: tuple[dict[str, Any], Any, Any]) -> None:
    columns, age, female = answers
    older = columns | {"age_years": columns["age_years"] + 2}
    assert "its age error is +0." in str(refusal(compare(columns, older, age, female)))
    swapped = columns["p_female"].copy()
    swapped[:40] = 1 - swapped[:40]
    worse = compare(columns, columns | {"p_female": swapped}, age, female)
    assert worse["flips"] == 40
    assert "its genders are right -" in str(refusal(worse))
    narrow = columns | {"age_high_years": columns["age_high_years"] - 3}
    assert "its intervals hold -" in str(refusal(compare(columns, narrow, age, female)))


def test_unlabelled_pictures_do_not_count(answers: tuple[dict[str, Any], Any, Any]) -> None:
    columns, age, female = answers
    age, female = age.copy(), female.copy()
    age[::2], female[1::2] = np.nan, np.nan
    other = columns | {"age_years": np.where(np.isnan(age), 0, columns["age_years"])}
    assert compare(columns, other, age, female)["age_mae"]["value"] == 0


def test_few_pictures_show_nothing(answers: tuple[dict[str, Any], Any, Any]) -> None:
    columns, age, female = (
        {k: v[:60] for k, v in answers[0].items()}, answers[1][:60], answers[2][:60],
    )  # fmt: skip
    assert "val has 60 labelled ages, and 500 are needed" in str(
        refusal(compare(columns, columns, age, female))
    )


@pytest.mark.parametrize("known", [0, 1, 60])
def test_a_head_whose_label_val_lacks_is_not_judged_by_the_other(
    answers: tuple[dict[str, Any], Any, Any], known: int
) -> None:
    columns, age, female = answers
    age = np.where(np.arange(COUNT) < known, age, np.nan)
    changes = compare(columns, columns, age, female)
    assert (changes["ages"], changes["genders"]) == (known, COUNT)
    assert f"val has {known} labelled ages" in str(refusal(changes))
    one_headed = {"p_female": columns["p_female"]}
    assert refusal(compare(one_headed, one_headed, age, female)) is None
