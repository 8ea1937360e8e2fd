"""Quality figures: right on hand-made cases; subgroups ordered, small ones marked, gaps tested."""

import math

import numpy as np
import pytest

from model import labels, quality


def test_wilson_is_the_textbook_interval_and_never_leaves_zero_to_one() -> None:
    assert quality.wilson(8, 10) == pytest.approx((0.490, 0.943), abs=0.001)
    assert quality.wilson(0, 20)[0] == 0
    assert quality.wilson(20, 20)[1] == 1
    assert all(math.isnan(value) for value in quality.wilson(0, 0))


def test_true_probabilities_have_a_small_calibration_error_and_overconfident_ones_a_large() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    truth = rng.random(20_000) < p
    assert quality.calibration_error(p, truth).value < 0.015
    wrong = quality.calibration_error(np.where(p > 0.5, 0.99, 0.01), truth)
    assert wrong.value == pytest.approx(0.24, abs=0.01)
    assert wrong.low < wrong.value < wrong.high


def test_calibration_error_is_the_weighted_gap_of_the_reliability_bins() -> None:
    rng = np.random.default_rng(1)
    p, truth = rng.random(500), rng.random(500) < 0.4
    rows = quality.reliability(p, truth)
    assert sum(row["images"] for row in rows) == 500
    by_hand = sum(abs(row["predicted"] - row["seen"]) * row["images"] for row in rows) / 500
    assert quality.calibration_error(p, truth).value == pytest.approx(by_hand)


def test_roc_goes_from_corner_to_corner_and_ties_move_together() -> None:
    points = quality.roc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]))
    assert points == [(0, 0), (0, 0.5), (0.5, 1), (1, 1)]


def test_cumulative_score_is_the_share_within_k_years() -> None:
    curve = quality.cumulative_score(np.array([0.0, -3.0, 5.0, 40.0]), 5)
    assert [point["share"] for point in curve] == [0.25, 0.25, 0.25, 0.5, 0.5, 0.75]


def test_confusion_counts_true_rows_and_predicted_columns() -> None:
    counts = quality.confusion(np.array([5, 15, 15]), np.array([5, 5, 25]), labels.DECADES)
    assert (counts[0][0], counts[1][0], counts[1][2], sum(map(sum, counts))) == (1, 1, 1, 3)


def _cells(worse: float) -> list[quality.Cell]:
    rng = np.random.default_rng(2)
    group = np.repeat(["a", "b", "tiny", ""], [400, 400, 10, 50])
    error = rng.normal(0, 5, len(group)) * np.where(group == "b", worse, 1)
    error[group == "tiny"] = 60
    columns = {
        "age_error": error,
        "gender_hit": (rng.random(len(group)) < 0.9).astype(float),
        "covered": np.full(len(group), np.nan),
    }
    return quality.cells(columns, {"group": group})


def test_cells_come_worst_first_small_ones_last_and_unlabelled_ones_not_at_all() -> None:
    cells = _cells(1.5)
    assert [(c.group["group"], c.images, c.small) for c in cells] == [
        ("b", 400, False), ("a", 400, False), ("tiny", 10, True),
    ]  # fmt: skip
    assert cells[0].coverage is None
    assert cells[0].age_mae is not None
    assert cells[0].age_mae.low < cells[0].age_mae.value < cells[0].age_mae.high


def test_a_real_gap_is_significant_and_chance_is_not() -> None:
    real = quality.gap(_cells(1.5), "age_mae")
    assert real is not None
    assert (real["significant"], real["most"]["group"]) == (True, {"group": "b"})
    assert real["cells"] == 2  # the tiny cell, however bad, does not count
    none = quality.gap(_cells(1.0), "age_mae")
    assert none is not None
    assert not none["significant"]
    assert quality.gap(_cells(1.0), "coverage") is None
