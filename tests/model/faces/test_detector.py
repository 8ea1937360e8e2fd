"""The detector finds the portrait's face where a person sees it, and none in clouds."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from model.faces.detector import WEIGHTS, detector_id, merged, shared_detector
from model.faces.face import Face, faces_of
from tests.photographs import POINTS, faceless, portrait


def _row(left: float, top: float, side: float, score: float) -> list[float]:
    eyes = [left + side / 3, top + side / 3, left + 2 * side / 3, top + side / 3]
    return [left, top, side, side, *eyes, *[left + side / 2, top + side / 2] * 3, score]


def test_the_portrait_s_points_are_where_they_were_measured() -> None:
    (face,) = faces_of(merged(shared_detector().detect(np.asarray(portrait()), 0.85)))
    assert np.abs(face.point_array - POINTS).max() < 3
    assert face.score > 0.9


def test_a_picture_of_nobody_has_no_face() -> None:
    for seed in range(3):
        assert not len(shared_detector().detect(np.asarray(faceless(512, 384, seed)), 0.5))


@pytest.mark.parametrize("size", [(512, 512), (500, 490), (333, 401), (20, 90), (1, 1)])
def test_sides_need_be_no_multiples(size: tuple[int, int]) -> None:
    pixels = np.asarray(portrait().crop((0, 0, *size)))
    found = merged(shared_detector().detect(pixels, 0.85))
    assert len(found) == (min(size) > 300)


def test_colours_are_not_swapped() -> None:
    """The portrait's red and blue exchanged are found with another score."""
    right = shared_detector().detect(np.asarray(portrait()), 0.5)[:, 14].max()
    swapped = np.ascontiguousarray(np.asarray(portrait())[:, :, ::-1])
    assert right > shared_detector().detect(swapped, 0.5)[:, 14].max()


def test_rows_that_agree_become_their_mean_by_score() -> None:
    rows = np.array([_row(100, 100, 60, 0.6), _row(103, 100, 60, 0.9), _row(400, 90, 50, 0.7)])
    faces = merged(rows)
    assert faces[:, 14].tolist() == [0.9, 0.7]
    assert faces[0, 0] == pytest.approx((0.6 * 100 + 0.9 * 103) / 1.5)
    np.testing.assert_allclose(faces[1], rows[2])


def test_neighbours_stay_two_faces_and_a_doubtful_shadow_moves_no_point() -> None:
    shadow = _row(100, 125, 60, 0.5)  # overlaps by 0.41: the same face, seen elsewhere
    faces = merged(np.array([_row(100, 100, 60, 0.9), shadow, _row(150, 100, 60, 0.8)]))
    np.testing.assert_allclose(faces, [_row(100, 100, 60, 0.9), _row(150, 100, 60, 0.8)])


def test_nothing_found_stays_nothing() -> None:
    assert merged(np.empty((0, 15))).shape == (0, 15)


def test_the_id_is_that_of_the_weights() -> None:
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest().startswith(detector_id())
    assert len(detector_id()) == 16


def test_what_a_face_says_of_itself() -> None:
    face = Face(10, 20, 30, 40, (10, 10, 13, 14, 0, 0, 0, 0, 0, 0), 0.9)
    assert (face.eye_distance_px, face.area) == (5, 1200)
    assert face.roll_degrees == pytest.approx(53.13, abs=0.01)
    assert face.overlap((10, 20, 30, 40)) == 1
    assert face.overlap((25, 20, 30, 40)) == pytest.approx(1 / 3)
    assert face.overlap((40, 20, 5, 5)) == 0


def test_a_mirror_image_is_a_face_with_its_points_in_the_picture_s_order() -> None:
    mirrored = portrait().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    (face,) = faces_of(merged(shared_detector().detect(np.asarray(mirrored), 0.85)))
    assert face.points[0] < face.points[2]
    assert abs(face.roll_degrees) < 10


def test_a_face_within_a_face_is_the_surer_of_the_two() -> None:
    large, mouth = _row(100, 100, 90, 0.9), _row(110, 140, 45, 0.8)
    np.testing.assert_allclose(merged(np.array([mouth, large])), [large])
    beside = _row(170, 140, 45, 0.8)  # a third of it behind the large one
    assert len(merged(np.array([beside, large]))) == 2
