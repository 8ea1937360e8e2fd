"""Input statistics and drift: right on hand-made pictures, loud on a real shift, calm on none."""

import numpy as np
import pytest

from model import statistics
from model.statistics import drift, histogram, image_statistics, profile


def test_statistics_are_mean_deviation_and_neighbour_difference() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 20, 30, 1), dtype=np.uint8)
    found = image_statistics(pixels)
    grey = pixels[..., 0].astype(np.float64)
    assert found["brightness"] == pytest.approx(grey.mean(axis=(1, 2)), rel=1e-5)
    assert found["contrast"] == pytest.approx(grey.std(axis=(1, 2)), rel=1e-5)
    steps = np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))
    assert found["sharpness"] == pytest.approx(steps, rel=1e-5)
    assert all(values.dtype == np.float32 for values in found.values())


def test_an_even_picture_has_no_contrast_and_of_rgb_green_counts() -> None:
    even = np.full((1, 8, 8, 3), 200, dtype=np.uint8)
    even[..., 1] = 90
    found = image_statistics(even)
    assert [found[name][0] for name in statistics.INPUTS[:3]] == [90, 0, 0]


def test_histogram_counts_all_but_nan_and_keeps_what_is_beyond_the_ends() -> None:
    counts = histogram("age_years", np.array([-5.0, 0.0, 0.9, 30.0, 400.0, np.nan]))
    assert (counts[0], counts[30], counts[-1], sum(counts)) == (3, 1, 1, 5)


def test_profile_derives_aspect_and_interval() -> None:
    found = profile({
        "width": np.array([200, 100]), "height": np.array([100, 100]),
        "age_low_years": np.array([10.0]), "age_high_years": np.array([14.5]),
    })  # fmt: skip
    assert set(found) == {"width", "height", "aspect", "interval_years"}
    assert found["interval_years"][4] == 1


def test_the_same_source_is_green_and_a_shift_is_red() -> None:
    rng = np.random.default_rng(1)
    reference = histogram("brightness", rng.normal(120, 20, 5000))
    same = drift("brightness", reference, histogram("brightness", rng.normal(120, 20, 3000)))
    assert (same.light, same.psi < 0.03, same.ks < 0.04) == ("green", True, True)
    darker = drift("brightness", reference, histogram("brightness", rng.normal(100, 20, 3000)))
    assert darker.light == "red"
    assert darker.ks == pytest.approx(0.38, abs=0.03)
    slightly = drift("brightness", reference, histogram("brightness", rng.normal(112, 20, 3000)))
    assert slightly.light == "amber"


def test_too_few_images_say_nothing() -> None:
    assert drift("p_female", [0] * 49 + [5000], [50] + [0] * 49).light == "grey"


def test_one_constant_value_is_compared_too() -> None:
    same = drift("width", [0, 500, 0], [0, 300, 0])
    assert (same.ks, same.light) == (0, "green")
    assert same.psi == pytest.approx(0, abs=0.01)
    assert drift("width", [0, 500, 0], [300, 0, 0]).light == "red"
