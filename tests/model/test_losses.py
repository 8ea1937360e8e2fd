"""Losses and scores: unlabelled rows weigh nothing, sums merge, the right answer is cheapest."""

from typing import Any

import numpy as np
import pytest

from model import heads, losses
from model.heads import Head

DISTRIBUTION = Head("age_dist", "age_years", "distribution")
HEADS = (heads.GENDER, heads.AGE, heads.RACE, heads.AGE_GROUPS, DISTRIBUTION)


def outputs(count: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    result: dict[str, Any] = {}
    for head in HEADS:
        raw = rng.random((count, head.width), dtype=np.float32)
        if head.activation == "softmax":
            raw /= raw.sum(axis=1, keepdims=True)
        result[head.name] = raw * 90 if head.kind == "value" else raw
    return result


def targets(count: int, seed: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    ages, genders = rng.integers(0, 117, count), rng.integers(0, 2, count)
    given = {"age_years": ages, "gender": genders, "race": rng.integers(0, 5, count)}
    return {head.name: heads.encode_target(head, given[head.label]) for head in HEADS}


def sums(target: Any, output: Any, weights: Any) -> Any:
    return np.asarray(losses.score_sums(HEADS, target, output, weights))


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_unlabelled_row_has_no_loss_and_leaves_the_others_alone(head: Head) -> None:
    target, output = targets(4)[head.name], outputs(4)[head.name]
    full = np.asarray(losses.example_losses(head, target, output))
    target[2] = np.nan
    holed = np.asarray(losses.example_losses(head, target, output))
    assert full.shape == (4,)
    assert (full > 0).all()
    assert holed[2] == 0
    assert (np.delete(holed, 2) == np.delete(full, 2)).all()


def test_loss_of_value_and_binary_head_by_hand() -> None:
    age = losses.example_losses(heads.AGE, np.float32([[30]]), np.float32([[34.5]]))
    assert np.asarray(age).tolist() == [4.5]
    gender = losses.example_losses(heads.GENDER, np.float32([[1]]), np.float32([[0.8]]))
    assert np.asarray(gender)[0] == pytest.approx(-np.log(0.8), rel=1e-5)


def test_distribution_loss_is_least_where_the_peak_is_the_true_age() -> None:
    years = np.arange(117)
    peaks = np.exp(-0.5 * ((years[None, :] - years[:, None]) / DISTRIBUTION.sigma_years) ** 2)
    guesses = (peaks / peaks.sum(axis=1, keepdims=True)).astype(np.float32)
    for age in (0, 25, 60, 116):
        target = np.full((117, 1), age, dtype=np.float32)
        loss = np.asarray(losses.example_losses(DISTRIBUTION, target, guesses))
        assert loss.argmin() == age
        assert (np.diff(loss[: age + 1]) <= 1e-4).all()  # and grows with the distance
        assert (np.diff(loss[age:]) >= -1e-4).all()


def test_distribution_loss_prefers_the_soft_label_to_certainty() -> None:
    target = np.float32([[40]])
    soft = np.exp(-0.5 * ((np.arange(117) - 40) / DISTRIBUTION.sigma_years) ** 2)
    certain = np.eye(117, dtype=np.float32)[40:41]
    smooth = (soft / soft.sum()).astype(np.float32)[None]
    least = float(np.asarray(losses.example_losses(DISTRIBUTION, target, smooth))[0])
    assert least == pytest.approx(0, abs=1e-4)
    assert float(np.asarray(losses.example_losses(DISTRIBUTION, target, certain))[0]) > 1


def test_total_is_the_weighted_sum_and_padding_weighs_nothing() -> None:
    target, output = targets(3), outputs(3)
    total, each = losses.total_loss(HEADS, target, output, np.float32([1, 0, 2]))
    by_hand = sum(head.weight * np.asarray(each[head.name]) for head in HEADS)
    assert np.asarray(total) == pytest.approx(by_hand * [1, 0, 2], rel=1e-6)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_imitating_the_teacher_to_the_letter_is_cheapest(head: Head) -> None:
    taught, other = outputs(4)[head.name], outputs(4, seed=5)[head.name]
    same = np.asarray(losses.imitation_losses(head, taught, taught))
    apart = np.asarray(losses.imitation_losses(head, taught, other))
    assert same.shape == apart.shape == (4,)
    assert (same < apart).all()
    if head.kind in ("value", "distribution"):
        assert same == pytest.approx(0, abs=1e-5)


def test_imitation_by_hand() -> None:
    binary = losses.imitation_losses(heads.GENDER, np.float32([[0.25]]), np.float32([[0.5]]))
    assert np.asarray(binary)[0] == pytest.approx(np.log(2), rel=1e-5)
    taught, output = np.zeros((2, 1, 117), dtype=np.float32)
    taught[0, [20, 40]] = 0.5
    output[0, [20, 40]] = 0.25, 0.75
    loss = losses.imitation_losses(DISTRIBUTION, taught, output)
    # KL(1/2, 1/2 || 1/4, 3/4), and the expectations 30 and 35 years
    assert np.asarray(loss)[0] == pytest.approx(0.5 * np.log(4 / 3) + 5 / 4, rel=1e-4)


def test_a_taught_head_learns_from_label_and_teacher_alike_and_others_from_labels() -> None:
    target, output, other = targets(3), outputs(3), outputs(3, seed=5)
    taught = {"gender": other["gender"]}
    weights = np.ones(3, dtype=np.float32)
    _, plain = losses.total_loss(HEADS, target, output, weights)
    _, both = losses.total_loss(HEADS, target, output, weights, taught)
    imitated = np.asarray(losses.imitation_losses(heads.GENDER, other["gender"], output["gender"]))
    expected = np.asarray(plain["gender"]) / 2 + imitated / 2
    assert np.asarray(both["gender"]) == pytest.approx(expected, rel=1e-6)
    for head in HEADS[1:]:
        assert (np.asarray(both[head.name]) == np.asarray(plain[head.name])).all()


def test_an_example_of_which_nobody_says_anything_learns_from_its_label_alone() -> None:
    target, output, other = targets(3), outputs(3), outputs(3, seed=5)
    weights = np.ones(3, dtype=np.float32)
    said = {name: np.array(values) for name, values in other.items()}
    for values in said.values():
        values[1] = np.nan
    _, plain = losses.total_loss(HEADS, target, output, weights)
    _, whole = losses.total_loss(HEADS, target, output, weights, other)
    _, some = losses.total_loss(HEADS, target, output, weights, said)
    for head in HEADS:
        expected = np.asarray(whole[head.name]).copy()
        expected[1] = np.asarray(plain[head.name])[1]
        assert np.asarray(some[head.name]) == pytest.approx(expected, rel=1e-6)


def test_score_sums_of_batches_merge_into_those_of_the_whole() -> None:
    target, output = targets(30), outputs(30)
    target["gender"][3] = target["age"][7] = np.nan
    weights = np.ones(30, dtype=np.float32)
    parts = [slice(0, 7), slice(7, 8), slice(8, 30)]
    merged = sum(
        sums({k: v[p] for k, v in target.items()}, {k: v[p] for k, v in output.items()}, weights[p])
        for p in parts
    )
    whole = sums(target, output, weights)
    assert merged == pytest.approx(whole, rel=1e-6)
    # right answers and counts are whole numbers: exact
    classes = [0, 2, 3]
    assert (merged[classes, 1:] == whole[classes, 1:]).all()
    assert whole[:, 2].tolist() == [29, 29, 30, 30, 30]


def test_padded_rows_are_in_no_sum() -> None:
    target, output = targets(6), outputs(6)
    weights = np.float32([1, 1, 1, 1, 0, 0])
    first = sums(
        {k: v[:4] for k, v in target.items()}, {k: v[:4] for k, v in output.items()}, weights[:4]
    )
    assert sums(target, output, weights) == pytest.approx(first, rel=1e-6)


def test_named_scores_are_means_over_the_labelled() -> None:
    two = (heads.GENDER, heads.AGE)
    scores = losses.scores_from_sums(two, [[5.0, 8.0, 10.0], [90.0, 60.0, 30.0]], "val")
    assert scores == {
        "val_loss": 0.5 + 3.0, "val_gender_loss": 0.5, "val_gender_accuracy": 0.8,
        "val_age_loss": 3.0, "val_age_mae": 2.0,
    }  # fmt: skip


def test_scores_of_a_head_without_labels_are_zero_not_an_error() -> None:
    scores = losses.scores_from_sums((heads.AGE,), [[0.0, 0.0, 0.0]], "val")
    assert scores == {"val_loss": 0.0, "val_age_loss": 0.0, "val_age_mae": 0.0}


def even(low: int, high: int) -> Any:
    """A softmax whose mass lies evenly on the years from low to high: (1, 117)."""
    mass = np.zeros((1, 117), dtype=np.float32)
    mass[0, low : high + 1] = 1 / (high + 1 - low)
    return mass


def loss_of(ends: tuple[float, float], mass: Any) -> float:
    return float(np.asarray(losses.example_losses(DISTRIBUTION, np.float32([ends]), mass))[0])


def test_a_distribution_learns_a_range_as_mass_spread_evenly_over_it() -> None:
    assert loss_of((20, 29), even(20, 29)) == pytest.approx(0, abs=1e-5)
    others = [even(20, 28), even(20, 30), even(24, 24), even(25, 34), even(40, 49)]
    found = [loss_of((20, 29), mass) for mass in others]
    assert min(found) > 0.05
    assert found[3] < found[4]  # nearer is better, beyond what the divergence tells


def test_of_an_open_range_only_the_mass_outside_costs() -> None:
    assert loss_of((70, 116), even(70, 75)) == pytest.approx(0, abs=1e-5)
    assert loss_of((70, 116), even(90, 116)) == pytest.approx(0, abs=1e-5)
    assert loss_of((70, 116), even(60, 79)) == pytest.approx(np.log(2) + 0.5 / 4, abs=1e-4)


def test_exact_ages_among_ranges_cost_as_much_as_without_them() -> None:
    output = outputs(3)["age_dist"]
    alone = losses.example_losses(DISTRIBUTION, np.float32([[30], [np.nan], [4]]), output)
    ends = np.float32([[30, 30], [np.nan, np.nan], [4, 4]])
    among = losses.example_losses(DISTRIBUTION, ends, output)
    np.testing.assert_array_equal(np.asarray(among), np.asarray(alone))


def test_the_score_of_a_range_is_the_distance_to_it() -> None:
    target = {"age_dist": np.float32([[20, 29], [70, 116], [np.nan, np.nan], [30, 30]])}
    mass = np.concatenate([even(25, 25), even(64, 64), even(3, 3), even(28, 28)])
    rows = losses.score_sums([DISTRIBUTION], target, {"age_dist": mass}, np.ones(4, np.float32))
    _, score, count = np.asarray(rows)[0]
    assert (score, count) == (pytest.approx(0 + 6 + 2, abs=1e-4), 3)
