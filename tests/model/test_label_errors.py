"""Wrong labels rank before right ones, whatever their number."""

import numpy as np

from model import label_errors

NAN = float("nan")


def test_a_gender_is_a_suspect_where_the_other_is_as_likely_as_it_usually_is() -> None:
    p = np.array([0.95, 0.9, 0.1, 0.05, 0.97, 0.55, NAN, 0.5])
    labelled = np.array([1, 1, 0, 0, 0, 0, 1, NAN])  # the fifth is labelled wrong
    plausible, label_issue = label_errors.gender(p, labelled)
    assert np.isnan(plausible[6:]).all()
    assert plausible[:6].round(3).tolist() == [0.95, 0.9, 0.9, 0.95, 0.03, 0.45]
    assert label_issue.tolist() == [False] * 4 + [True] + [False] * 3  # 0.55 is less than 0.925


def test_labels_of_one_gender_alone_make_no_suspects() -> None:
    _, label_issue = label_errors.gender(np.array([0.1, 0.9]), np.array([1.0, 1.0]))
    assert not label_issue.any()


def test_an_age_is_measured_in_halves_of_its_own_interval() -> None:
    age, low, high = (np.array([float(v)] * 4) for v in (30, 20, 60))
    true_age = np.array([30.0, 45.0, 19.0, 66.0])
    plausible, label_issue = label_errors.age(age, low, high, true_age)
    assert label_issue.tolist() == [False, False, True, True]
    assert plausible.tolist() == [1.0, 0.8, 0.6, 0.4]  # (1 + as far or further) / (4 + 1)


def test_without_intervals_the_tenth_that_lies_furthest_off_is_suspected() -> None:
    age, none = np.full(99, 30.0), np.full(99, NAN)
    true_age = np.r_[np.full(95, 31.0), 60.0, 61.0, NAN, 62.0]
    plausible, label_issue = label_errors.age(age, none, none, true_age)
    assert np.flatnonzero(label_issue).tolist() == [95, 96, 98]
    assert np.isnan(plausible[97])


def test_of_planted_errors_nearly_all_are_found_first() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 90, 2000).astype(float)
    age = truth + rng.normal(0, 4, 2000)
    wrong = rng.choice(2000, 40, replace=False)
    labelled = truth.copy()
    labelled[wrong] = (truth[wrong] + 45) % 90
    plausible, _ = label_errors.age(age, age - 7, age + 7, labelled)
    assert len({*np.argsort(plausible)[:44]} & {*wrong}) >= 38
