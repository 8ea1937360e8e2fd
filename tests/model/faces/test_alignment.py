"""A face is turned, scaled and shifted onto the template, exactly, and sampled without aliasing."""

import dataclasses
import time

import numpy as np
import pytest
from PIL import Image

from model.faces.alignment import (
    UTKFACE_CHIPS,
    Alignment,
    aligned,
    scale_of,
    similarity,
    template_of,
)
from model.preprocessing import InputSpec
from tests.photographs import POINTS, portrait

TEMPLATE = template_of(UTKFACE_CHIPS, 96, 96)


def _moved(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]):
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + shift, np.column_stack([turn, shift])


@pytest.mark.parametrize("degrees", [0, 15, -30, 90, 179])
@pytest.mark.parametrize("scale", [0.05, 1, 7.5])
def test_a_known_turn_scale_and_shift_is_recovered(degrees: float, scale: float) -> None:
    points, known = _moved(TEMPLATE, degrees, scale, (-31.5, 2000.0))
    np.testing.assert_allclose(similarity(TEMPLATE, points), known, atol=1e-8)
    assert scale_of(known) == pytest.approx(scale)


def test_a_mirror_image_is_never_mirrored_back() -> None:
    mirrored = TEMPLATE * (-1, 1) + (96, 0)
    for points in (mirrored, mirrored[[1, 0, 2, 4, 3]], np.random.default_rng(0).random((5, 2))):
        assert np.linalg.det(similarity(points, TEMPLATE)[:, :2]) > 0


def _dotted(degrees: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """A black picture of 700x700 with a soft white dot at each of five points."""
    points, _ = _moved(TEMPLATE - 48, degrees, scale, (350.0, 350.0))
    y, x = np.mgrid[:700, :700] + 0.5  # where the middles of its pixels lie
    spread = 2 * max(1, scale) ** 2
    dots = [np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / spread) for at in points]
    return (255 * sum(dots)).clip(0, 255).astype(np.uint8), points


@pytest.mark.parametrize("degrees", [0, 20, 137])
@pytest.mark.parametrize("scale", [0.6, 1.3, 1.9, 2.1, 5.3])
def test_points_come_to_the_template_within_half_a_pixel(degrees: float, scale: float) -> None:
    image, points = _dotted(degrees, scale)
    cut = aligned(image, similarity(points, TEMPLATE), (96, 96), 0).astype(float)
    y, x = np.mgrid[:96, :96] + 0.5
    for at in TEMPLATE:
        near = cut * (np.hypot(x - at[0], y - at[1]) < 5)
        found = np.array([(near * x).sum(), (near * y).sum()]) / near.sum()
        assert np.abs(found - at).max() < 0.5


@pytest.mark.parametrize("scale", [0.3, 1, 3])
def test_what_lies_outside_the_picture_is_grey(scale: float) -> None:
    image = np.full((120, 120, 3), (255, 0, 0), np.uint8)
    matrix = np.array([[scale, 0, 48 - 0.0], [0, scale, 48 - 0.0]])  # its corner in the middle
    cut = aligned(image, matrix, (96, 96), 77)
    assert (cut[:46, :] == 77).all()
    assert (cut[:, :46] == 77).all()
    inside = slice(51, min(96, 46 + int(120 * scale)))
    assert (cut[inside, inside] == (255, 0, 0)).all()


def test_a_fine_checkerboard_shrunk_eight_times_is_flat() -> None:
    board = (np.indices((1200, 1200)).sum(axis=0) % 2 * 255).astype(np.uint8)
    matrix = _moved(np.zeros((1, 2)), 10, 1 / 8, (-20.0, 0.0))[1]
    cut = aligned(board, matrix, (96, 96), 128)
    assert np.ptp(cut) <= 4
    assert abs(cut.mean() - 127.5) < 2


def test_stripes_that_the_square_can_show_are_kept() -> None:
    """A blur would pass the checkerboard, too."""
    stripes = np.tile(np.repeat([0, 255], 32), (800, 13))[:, :800].astype(np.uint8)
    cut = aligned(stripes, np.array([[1 / 8, 0, 0], [0, 1 / 8, 0.0]]), (96, 96), 0)
    assert (np.ptp(cut, axis=1) > 240).all()


def test_one_channel_is_cut_like_three() -> None:
    matrix = similarity(np.array(POINTS), TEMPLATE)
    colour = aligned(np.asarray(portrait()), matrix, (96, 96), 128)
    grey = aligned(np.asarray(portrait().convert("L")), matrix, (96, 96), 128)
    luma = np.asarray(Image.fromarray(colour).convert("L"), dtype=int)
    assert np.abs(luma - grey).max() <= 2


def test_a_close_up_costs_what_the_square_shows_and_not_the_picture() -> None:
    image = np.zeros((6000, 8000, 3), np.uint8)
    points, _ = _moved(TEMPLATE - 48, 0, 3, (4000.0, 3000.0))
    began = time.process_time()
    for _ in range(20):
        aligned(image, similarity(points, TEMPLATE), (96, 96), 128)
    assert time.process_time() - began < 1


def test_whatever_can_change_a_pixel_changes_the_hash() -> None:
    others = [
        dataclasses.replace(UTKFACE_CHIPS, outside=0),
        dataclasses.replace(UTKFACE_CHIPS, version=2),
        Alignment((0.31, *UTKFACE_CHIPS.points[1:])),
    ]
    assert len({UTKFACE_CHIPS.hash, *(other.hash for other in others)}) == 4


def test_an_alignment_belongs_to_the_spec_and_comes_back_from_a_bundle() -> None:
    plain, spec = InputSpec(96, 96, "rgb"), InputSpec(96, 96, "rgb", alignment=UTKFACE_CHIPS)
    assert InputSpec.from_json(spec.to_json()) == spec
    assert "alignment" not in plain.to_json()
    assert plain.hash != spec.hash
