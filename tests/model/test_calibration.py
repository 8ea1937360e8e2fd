"""Calibration: it finds what it should, holds what it promises, and never turns the order round."""

from typing import Any

import numpy as np
import pytest

from model import calibration, conformal, labels
from model.calibration import Reading
from model.conformal import LEVELS
from model.errors import UsageError
from model.heads import AGE, Head

RNG = np.random.default_rng


def _people(seed: int, count: int = 6000) -> tuple[Any, Any]:
    """Labelled and predicted ages: errors grow with age, the old are taken for younger."""
    rng = RNG(seed)
    truth = np.floor(rng.beta(1.6, 2.2, count) * 100)
    guess = truth - 0.25 * (truth - 40) + rng.normal(0, 2 + truth / 8, count)
    return truth, guess.clip(0, 116).astype(np.float32)


def _distribution(age: Any, sigma: Any) -> Any:
    years = np.arange(labels.MAX_AGE_YEARS + 1)
    mass = np.exp(-0.5 * ((years - age[:, None]) / sigma[:, None]) ** 2)
    return (mass / mass.sum(axis=1, keepdims=True)).astype(np.float32)


def test_gender_fit_recovers_a_known_temperature_and_bias() -> None:
    rng = RNG(0)
    logit = rng.normal(0, 1.2, 60_000)
    truth = rng.random(60_000) < 1 / (1 + np.exp(-logit))
    distorted = 1 / (1 + np.exp(-2.5 * (logit - 0.3)))
    found = calibration.fit_gender(distorted, truth)
    assert found["temperature"] == pytest.approx(2.5, rel=0.03)
    assert found["bias"] == pytest.approx(0.3, abs=0.03)


def test_calibrated_probability_keeps_the_order_even_of_saturated_values() -> None:
    p = np.array([0.0, 1e-9, 0.2, 0.5, 0.8, 1 - 1e-9, 1.0], dtype=np.float32)
    out = calibration.with_gender(p, {"temperature": 1.7, "bias": 0.0})
    assert (np.diff(out) >= 0).all()
    assert ((out >= 0) & (out <= 1)).all()
    assert out[3] == 0.5


def test_separable_data_gives_a_finite_fit() -> None:
    p = np.r_[np.full(50, 0.4), np.full(50, 0.6)]
    found = calibration.fit_gender(p, p > 0.5)
    assert 0.05 <= found["temperature"] <= 20
    assert np.isfinite(found["bias"])


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_intervals_cover_new_people_as_often_as_asked(coverage: float) -> None:
    truth, guess = _people(1)
    fitted = conformal.fit_age({"age_years": guess}, truth)
    new_truth, new_guess = _people(2)
    low, high = conformal.intervals({"age_years": new_guess}, fitted, coverage)
    hit = ((low <= new_truth) & (new_truth <= high)).mean()
    assert coverage - 0.015 <= hit <= coverage + 0.04  # every decade shall have its share


def test_a_shortfall_that_may_be_chance_costs_no_width() -> None:
    narrow = {"worst_gap": 0.01, "width_years": 19.3}
    wide = {"worst_gap": 0.0, "width_years": 22.8}
    assert conformal.choose({"true-band": wide, "cqr": narrow}) == "cqr"
    assert (
        conformal.choose({"true-band": wide, "cqr": {**narrow, "worst_gap": 0.03}}) == "true-band"
    )


def test_a_picture_that_is_there_twice_counts_once() -> None:
    truth, guess = _people(5)
    few = (truth <= 90) | (np.cumsum(truth > 90) <= 60)  # sixty of the oldest, too few for a band
    truth, guess = truth[few], guess[few]
    names = np.array([f"{number % 7}-{number}.jpg" for number in range(len(truth))])

    def bands(fitted: dict[str, Any]) -> list[tuple[int, int]]:
        return [(band["low_years"], band["high_years"]) for band in fitted["bands"]]

    once = conformal.fit_age({"age_years": guess}, truth)
    assert conformal.fit_age({"age_years": guess}, truth, pictures=names) == once
    columns, twice = {"age_years": np.repeat(guess, 2)}, np.repeat(truth, 2)
    known = conformal.fit_age(columns, twice, pictures=np.repeat(names, 2))
    assert (bands(known), known["method"]) == (bands(once), once["method"])
    for name, figures in known["measured"].items():
        assert figures == pytest.approx(once["measured"][name], abs=0.01, rel=0.05), name
    assert bands(conformal.fit_age(columns, twice)) != bands(once)
    assert known["images"] == once["images"] == len(truth)
    assert known["bands"] == once["bands"]  # the very same margins, of as many pictures


def test_too_few_pictures_are_too_few_however_often_they_are_there() -> None:
    truth, guess = (values[:20] for values in _people(5))
    columns = {"age_years": np.repeat(guess, 2), "p_female": np.linspace(0, 1, 40)}
    female = np.arange(40) % 2.0
    fitted = calibration.fit(
        columns, np.repeat(truth, 2), female, pictures=np.repeat(np.arange(20), 2)
    )
    assert fitted["age"] is fitted["gender"] is None
    assert calibration.fit(columns, np.repeat(truth, 2), female)["age"]


def test_every_true_decade_is_covered_alike() -> None:
    truth, guess = _people(3)
    fitted = conformal.fit_age({"age_years": guess}, truth)
    assert fitted["method"] == "true-band"
    assert fitted["measured"]["predicted-band"]["worst_gap"] > 0.04  # what Mondrian alone misses
    new_truth, new_guess = _people(4, 20_000)
    low, high = conformal.intervals({"age_years": new_guess}, fitted)
    decade = labels.bin_of(new_truth, labels.DECADES)
    for band in np.unique(decade):
        rows = decade == band
        if rows.sum() >= 400:
            hit = ((low <= new_truth) & (new_truth <= high))[rows].mean()
            assert 0.85 <= hit <= 0.98, labels.DECADES[band]


def test_quantiles_of_a_distribution_win_where_the_network_knows_its_doubt() -> None:
    rng = RNG(5)
    age, sigma = rng.uniform(5, 95, 6000), rng.choice([2.0, 12.0], 6000)
    truth = np.round((age + rng.normal(0, sigma)).clip(0, 116))
    columns = {"age_years": age, "age_distribution": _distribution(age, sigma)}
    measured = conformal.fit_age(columns, truth)["measured"]
    assert measured["cqr"]["width_years"] < 0.9 * measured["true-band"]["width_years"]
    assert measured["cqr"]["coverage"] == pytest.approx(0.91, abs=0.025)


def test_what_the_hull_covers_too_much_is_given_back() -> None:
    rng = RNG(7)
    age = rng.uniform(5, 95, 8000)
    truth = np.round((age + rng.normal(0, 6, 8000)).clip(0, 116))
    columns = {"age_years": age, "age_distribution": _distribution(age, np.full(8000, 3.0))}
    fitted = conformal.fit_age(columns, truth)
    plain = {name: value for name, value in fitted.items() if name != "nominal"}
    widths = [
        float(np.subtract(*conformal.intervals(columns, f)[::-1]).mean()) for f in (fitted, plain)
    ]
    assert widths[0] < widths[1]
    low, high = conformal.intervals(columns, fitted)
    assert 0.89 <= ((low <= truth) & (truth <= high)).mean() <= 0.93


def test_more_coverage_is_never_a_narrower_interval() -> None:
    truth, guess = _people(6, 800)
    fitted = conformal.fit_age({"age_years": guess}, truth)
    widths = []
    for level in LEVELS:
        low, high = conformal.intervals({"age_years": guess}, fitted, level)
        assert (low <= high).all()
        assert low.min() >= 0
        assert high.max() <= labels.MAX_AGE_YEARS
        widths.append((high - low).mean())
    assert (np.diff(widths) >= 0).all()


def test_conformal_quantile_is_the_finite_sample_one() -> None:
    scores = np.arange(1.0, 20.0)  # 19: the 18th of them for 0.9, as (19 + 1) 0.9 = 18
    assert conformal.conformal_quantile(scores, 0.9) == 18
    assert conformal.conformal_quantile(scores[:5], 0.9) == labels.MAX_AGE_YEARS


def test_few_images_share_one_band_and_too_few_give_no_calibration() -> None:
    truth, guess = _people(7, 60)
    nobody = np.full(60, np.nan)
    fitted = calibration.fit({"age_years": guess}, truth, nobody)
    assert [(b["low_years"], b["high_years"]) for b in fitted["age"]["bands"]] == [(0, 116)]
    assert fitted["gender"] is None
    none = calibration.fit({"age_years": guess[:10]}, truth[:10], nobody[:10])
    assert (none["gender"], none["age"]) == (None, None)


def test_a_bundle_without_calibration_still_gives_groups_and_raw_probability() -> None:
    columns = {"age_years": np.array([7.0, 26.0]), "p_female": np.array([0.2, 0.9])}
    out = calibration.apply(columns, None, Reading(age_bins="adience"))
    assert out["age_group"].tolist() == [1, 4]
    assert out["p_female"].tolist() == [0.2, 0.9]
    assert "age_low_years" not in out


def test_an_age_group_head_decides_the_group_in_its_own_binning() -> None:
    columns = {"age_years": np.array([26.0, 50.0]), "age_group": np.array([3.0, 7.0])}
    head = Head("group", "age_years", "classes", labels.bin_names(labels.LEVI_HASSNER))
    own = calibration.chosen_bins("auto", [head])
    assert own == "adience"
    assert calibration.chosen_bins("auto", [AGE]) == "decades"
    kept = calibration.apply(columns, None, Reading(age_bins=own), [head])
    assert kept["age_group"].tolist() == [3, 7]
    other = calibration.apply(columns, None, Reading(), [head])
    assert other["age_group"].tolist() == [2, 4]


def test_a_coverage_that_was_not_stored_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        Reading(coverage=0.999)
    assert str(error.value) == "`coverage` 0.999 must be between 0.5 and 0.99, for example 0.9"
