"""Augmentation is a function of (seed, epoch, image), and each strength does what it says."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.augmentation import DRAWS_PER_IMAGE, augment, draw, resized
from model.recipes import Augmentation
from pipelines.images.drawn_faces import draw_face

ALL = Augmentation(
    mirror=True, rotate_degrees=12, scale=0.12, shift=0.06, stretch=0.06,
    brightness=0.15, contrast=0.3, color=0.4, grey=0.5, erase=0.5,
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


def test_an_image_gets_the_same_whatever_batch_it_is_in(faces: Any) -> None:
    draws = draw(0, 4, len(faces))
    whole = applied(faces, ALL, draws)
    assert (whole.dtype, whole.shape) == (np.uint8, faces.shape)
    order = np.random.default_rng(0).permutation(len(faces))
    assert (applied(faces[order], ALL, draws[order]) == whole[order]).all()
    assert (applied(faces[5:6], ALL, draws[5:6]) == whole[5:6]).all()


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
