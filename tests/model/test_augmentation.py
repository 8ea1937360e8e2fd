"""Augmentation is a function of (seed, epoch, image), and each strength does what it says."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from PIL import Image

from demo.drawn_faces import draw_face
from model.augmentation import DRAWS_PER_IMAGE, augment, draw, resized
from model.recipes import Augmentation

ALL = Augmentation(
    mirror=True, rotate_degrees=12, scale=0.12, shift=0.06, stretch=0.06,
    brightness=0.15, contrast=0.3, color=0.4, grey=0.5, erase=0.5,
    blur=1.5, shrink=0.6, noise=0.05,
)  # fmt: skip


@pytest.fixture(scope="module")
def faces() -> Any:
    return np.stack([np.asarray(draw_face(2, i)[1].resize((40, 48))) for i in range(12)])


def applied(pixels: Any, strength: Augmentation, draws: Any = None) -> Any:
    draws = draw(0, 0, len(pixels)) if draws is None else draws
    return np.asarray(augment(pixels, draws, strength))


def test_draws_depend_on_seed_and_epoch_alone() -> None:
    first = draw(1, 2, 50)
    assert (first.shape, first.dtype) == ((50, DRAWS_PER_IMAGE), np.float32)
    assert (first == draw(1, 2, 50)).all()
    assert (first[:20] == draw(1, 2, 20)).all()
    assert (first != draw(2, 2, 50)).any()
    assert (first != draw(1, 3, 50)).any()


def test_the_first_numbers_are_those_of_0_1_0_and_none_is_another_one_s() -> None:
    draws = draw(1, 2, 50)
    assert (draws[:, :16] == np.random.default_rng([1, 2]).random((50, 16), np.float32)).all()
    assert len(np.unique(draws)) > 0.99 * draws.size


def test_an_image_gets_the_same_whatever_batch_it_is_in(faces: Any) -> None:
    draws = draw(0, 4, len(faces))
    whole = applied(faces, ALL, draws)
    assert (whole.dtype, whole.shape) == (np.uint8, faces.shape)
    order = np.random.default_rng(0).permutation(len(faces))
    assert (applied(faces[order], ALL, draws[order]) == whole[order]).all()
    assert (applied(faces[5:6], ALL, draws[5:6]) == whole[5:6]).all()


def test_the_size_of_a_batch_changes_the_rounding_of_few_pixels_only() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 96, 96, 3), dtype=np.uint8)
    draws = draw(0, 0, 32)
    whole = applied(pixels, ALL, draws).astype(int)
    for size in (1, 8, 16):
        parts = [
            applied(pixels[i : i + size], ALL, draws[i : i + size]) for i in range(0, 32, size)
        ]
        off = np.abs(np.concatenate(parts) - whole)
        assert off.max() <= 1
        assert (off > 0).mean() < 1e-4  # 1.3e-5 here; 5e-6 without blur, shrink and noise


def test_zero_strength_is_the_identity(faces: Any) -> None:
    assert (applied(faces, Augmentation()) == faces).all()


def test_mirror_alone_gives_the_image_or_its_mirror_and_both_occur(faces: Any) -> None:
    result = applied(faces, Augmentation(mirror=True))
    kept = [(a == b).all() for a, b in zip(result, faces, strict=True)]
    turned = [(a == b[:, ::-1]).all() for a, b in zip(result, faces, strict=True)]
    assert all(k != t for k, t in zip(kept, turned, strict=True))
    assert 0 < sum(kept) < len(faces)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Augmentation)])
def test_each_strength_alone_changes_pixels_and_keeps_dtype(faces: Any, field: str) -> None:
    strength = dataclasses.replace(Augmentation(), **{field: getattr(ALL, field)})
    result = applied(faces, strength)
    assert result.dtype == np.uint8
    assert (result != faces).any()


def test_erase_covers_at_most_a_fifth_with_mid_grey(faces: Any) -> None:
    result = applied(faces, Augmentation(erase=1.0))
    changed = (result != faces).any(axis=-1)
    assert changed.any(axis=(1, 2)).sum() >= 10  # a few rectangles lie half outside
    assert (changed.mean(axis=(1, 2)) <= 0.21).all()
    assert set(np.unique(result[changed])) == {128}


def test_grey_removes_all_colour(faces: Any) -> None:
    result = applied(faces, Augmentation(grey=1.0)).astype(int)
    assert np.ptp(result, axis=-1).max() <= 1


def test_brightness_stays_within_its_strength(faces: Any) -> None:
    shift = applied(faces, Augmentation(brightness=0.1)).astype(int) - faces
    assert np.abs(shift).max() <= 26


def test_a_picture_is_resized_as_pillow_does(faces: Any) -> None:
    small = np.asarray(resized(faces, 20, 20))
    assert (small.dtype, small.shape) == (np.uint8, (len(faces), 20, 20, 3))
    expected = [Image.fromarray(face).resize((20, 20), Image.Resampling.BILINEAR) for face in faces]
    assert np.abs(small.astype(int) - np.stack(expected)).max() <= 1  # both round, in another order
    assert resized(faces, *faces.shape[1:3]) is faces


def sharpness(images: Any) -> Any:
    """Mean difference of neighbouring pixels of each image."""
    values = np.asarray(images).astype(float)
    across = np.abs(np.diff(values, axis=2)).mean(axis=(1, 2, 3))
    return (across + np.abs(np.diff(values, axis=1)).mean(axis=(1, 2, 3))) / 2


def chosen(count: int, **columns: float) -> Any:
    """Draws of 0.5, but for the columns that are given by name."""
    numbers = {"kind": 16, "sigma": 17, "amount": 18, "shrink": 19, "noise": 20, "y": 21, "x": 22}
    draws = np.full((count, DRAWS_PER_IMAGE), 0.5, np.float32)
    for name, value in columns.items():
        draws[:, numbers[name]] = value
    return draws


def test_a_recipe_without_sharpness_is_written_as_before_there_was_any() -> None:
    assert set(Augmentation(mirror=True).to_json()) == {
        "mirror", "rotate_degrees", "scale", "shift", "stretch", "brightness", "contrast", "color",
        "grey", "erase",
    }  # fmt: skip
    assert ALL.to_json() == dataclasses.asdict(ALL)
    assert Augmentation(**Augmentation(blur=1.0).to_json()) == Augmentation(blur=1.0)


def test_blur_softens_three_quarters_and_sharpens_the_rest_each_by_its_own(faces: Any) -> None:
    many = np.concatenate([faces] * 20)
    draws = draw(0, 0, len(many))
    change = sharpness(applied(many, Augmentation(blur=1.5), draws)) / sharpness(many)
    is_sharpened = draws[:, 16] < 0.25
    assert 0.15 < is_sharpened.mean() < 0.35
    assert (change[~is_sharpened] <= 1.001).all()
    assert (change[is_sharpened] >= 0.999).all()
    assert change[~is_sharpened].mean() < 0.85
    assert change[is_sharpened].mean() > 1.05
    assert len(np.unique(change.round(6))) > 0.5 * len(change)


def test_blur_is_a_gaussian_and_keeps_what_is_even(faces: Any) -> None:
    draws = chosen(len(faces), kind=0.9, sigma=0.8)
    found = applied(faces, Augmentation(blur=1.5), draws).astype(int)
    radius = 6
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * 1.2**2))
    weights /= weights.sum()
    wanted = faces.astype(float)
    for axis in (1, 2):
        wanted = np.apply_along_axis(np.convolve, axis, wanted, weights, mode="same")
    inner = (slice(None), slice(radius, -radius), slice(radius, -radius))
    assert np.abs(found[inner] - wanted[inner]).max() <= 1
    even = np.full_like(faces, 77)
    assert (applied(even, Augmentation(blur=3.0, shrink=0.9)) == 77).all()


@pytest.mark.parametrize("side", [40, 24, 11, 5])
def test_shrink_is_what_pillow_makes_of_a_small_picture(side: int, faces: Any) -> None:
    images = faces[:, :40, :40]
    strength = Augmentation(shrink=0.9)
    draws = chosen(len(images), shrink=(1 - side / 40) / 0.9)
    found = applied(images, strength, draws).astype(int)
    wanted = np.stack([
        Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR).resize(
            (40, 40), Image.Resampling.BILINEAR)
        for image in images
    ])  # fmt: skip
    assert np.abs(found - wanted).max() <= 3  # Pillow rounds between the two


def test_shrink_leaves_the_sharpness_that_its_draw_says(faces: Any) -> None:
    found = [
        sharpness(applied(faces, Augmentation(shrink=0.8), chosen(len(faces), shrink=u))).mean()
        for u in (0.0, 0.3, 0.6, 0.95)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] == sharpness(faces).mean()  # nothing is changed
    assert found[-1] < 0.6 * found[0]


def test_noise_has_its_deviation_and_is_another_for_each_image() -> None:
    grey = np.full((6, 40, 48, 3), 128, np.uint8)
    found = applied(grey, Augmentation(noise=0.04), chosen(6, noise=0.99)).astype(float) - 128
    assert abs(found.std() / (0.04 * 0.99 * 255) - 1) < 0.05
    assert abs(found.mean()) < 0.5
    draws = chosen(6, noise=0.99)
    draws[:, 21], draws[:, 22] = np.linspace(0, 0.9, 6), np.linspace(0.1, 0.8, 6)
    each = applied(grey, Augmentation(noise=0.04), draws).reshape(6, -1).astype(float)
    together = np.corrcoef(each) - np.eye(6)
    assert np.abs(together).max() < 0.1


@pytest.mark.parametrize("shrink", [-0.1, 0.95, 1.0])
def test_shrinking_to_nothing_is_refused(shrink: float) -> None:
    with pytest.raises(ValueError, match=r"must be 0 to 0\.9"):
        Augmentation(shrink=shrink)
