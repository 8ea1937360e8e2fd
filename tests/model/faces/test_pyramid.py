"""Faces are found at every size and way up, at a cost that does not follow the picture's."""

import functools
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from model.faces.crops import Crops, FaceSearch, crops_of
from model.faces.detector import shared_detector
from model.faces.face import Face
from model.faces.pyramid import View, detect_faces, first_size, sized
from model.pictures import PREPROCESSING_VERSION, decode_picture
from model.preprocessing import InputSpec
from tests.photographs import HEAD_PX, POINTS, encoded, portrait, scene, turned

SPEC = InputSpec(96, 96, "rgb")


def found(image: Image.Image, kind: str = "PNG", **search: float) -> tuple[Face, ...]:
    """The faces of a picture of which none is left out."""
    crops = crops_of(encoded(image, kind), SPEC, FaceSearch(**search))
    assert crops.skipped == 0
    assert crops.faces is not None
    return crops.faces


def test_a_face_is_found_where_it_is() -> None:
    (face,) = found(portrait())
    assert np.abs(face.point_array - POINTS).max() < 3
    assert (face.left, face.top) == (pytest.approx(179, abs=4), pytest.approx(63, abs=4))


@pytest.mark.parametrize(("zoom", "side"), [(18, 2200), (23, 2600)])
def test_a_close_up_of_2000_pixels_is_one_face(zoom: float, side: int) -> None:
    (face,) = found(turned(0, zoom, side), "JPEG")
    assert face.eye_distance_px == pytest.approx(43 * zoom, rel=0.1)


@pytest.mark.parametrize("side", [60, 80, 120])
def test_a_face_of_24_pixels_is_found(side: int) -> None:
    (face,) = found(scene(800, 600, [(300, 200, side)]))
    assert face.width == pytest.approx(90 / HEAD_PX * side, rel=0.2)
    assert face.eye_distance_px == pytest.approx(43 / HEAD_PX * side, rel=0.15)


def test_a_small_face_is_found_beside_a_large_one_whose_mouth_is_no_face() -> None:
    """The closer look that the small one needs sees a face in the large one's mouth and chin."""
    large, small = found(scene(4000, 3000, [(300, 100, 1200), (3000, 2000, 330)]), "JPEG")
    assert large.eye_distance_px == pytest.approx(43 / HEAD_PX * 1200, rel=0.1)
    assert small.eye_distance_px == pytest.approx(43 / HEAD_PX * 330, rel=0.1)


@pytest.mark.parametrize("degrees", [-45, -30, -15, 15, 30, 45])
def test_a_head_that_leans_says_so(degrees: int) -> None:
    """The detector's own points of a small face lean by a tenth of it."""
    (face,) = found(turned(degrees))
    assert face.roll_degrees == pytest.approx(degrees + 2, abs=14)


@pytest.mark.parametrize("clockwise", [90, 180, 270])
@pytest.mark.parametrize("zoom", [0.6, 1, 3])
def test_a_picture_on_its_side_or_upside_down_without_exif_is_found(
    clockwise: int, zoom: float
) -> None:
    upright = turned(0, zoom)
    (face,) = found(upright.rotate(-clockwise))
    (same,) = found(upright)
    off = (face.roll_degrees - same.roll_degrees - clockwise + 180) % 360 - 180
    assert abs(off) < 10
    angle = np.radians(clockwise)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = (same.point_array - 256) @ turn.T + 256
    assert np.abs(face.point_array - expected).max() < 0.2 * same.eye_distance_px


def test_a_face_cut_at_the_border_has_a_box_that_goes_beyond() -> None:
    (face,) = found(scene(500, 400, [(-88, 50, 240)]))
    assert face.left < 0
    assert face.width == pytest.approx(90 / HEAD_PX * 240, rel=0.2)


def test_a_panorama_is_looked_at_everywhere() -> None:
    heads = [(300, 100, 200), (4000, 200, 180), (7500, 50, 300), (905, 300, 150)]
    faces = found(scene(8000, 600, heads), "JPEG")
    assert len(faces) == 4
    assert max(face.left for face in faces) > 7000


@pytest.mark.parametrize("heads", [[], [(3000, 2000, 180)], [(300, 100, 2400)]])
def test_12_megapixels_take_no_longer_than_a_second_or_two(
    heads: list[tuple[int, int, int]],
) -> None:
    data = encoded(scene(4000, 3000, heads), "JPEG")
    crops_of(encoded(portrait()), SPEC, FaceSearch())  # the detector's weights are read once
    began = time.process_time()
    crops = crops_of(data, SPEC, FaceSearch())
    assert time.process_time() - began < 5
    assert len(crops.faces or ()) == len(heads)


_PEAK = """
import pathlib, sys
from model.faces.crops import FaceSearch, crops_of
from model.preprocessing import InputSpec
crops = crops_of(pathlib.Path(sys.argv[1]).read_bytes(), InputSpec(96, 96, "rgb"), FaceSearch())
peak = pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(len(crops.faces), crops.width, int(peak) >> 10)
"""


def test_50_megapixels_are_searched_within_memory(tmp_path) -> None:
    """150 MB are its pixels, if all of them; a small face makes it look closer."""
    picture = tmp_path / "large.jpg"
    picture.write_bytes(encoded(scene(8660, 5774, [(300, 100, 1200), (6000, 4000, 600)]), "JPEG"))
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(picture)], capture_output=True, text=True, check=True
    )
    faces, width, megabytes = map(int, done.stdout.split())
    assert (faces, width) == (2, 8660)
    assert megabytes < 700


def _looks(image: Image.Image, min_eye_distance_px: float = 8) -> list[tuple[int, int]]:
    """Sizes of all that the detector is shown, in turn."""
    shown = list[tuple[int, int]]()

    class Spy:
        def detect(self, rgb: np.ndarray, min_score: float) -> np.ndarray:
            shown.append(rgb.shape[1::-1])
            return shared_detector().detect(rgb, min_score)

    data = encoded(image)
    version = PREPROCESSING_VERSION
    view = View(data, version, decode_picture(data, "rgb", version, first_size))
    detect_faces(view, 0.85, min_eye_distance_px, lambda rows: 0.1, Spy())
    return shown


def test_a_portrait_that_is_large_and_level_is_looked_at_once() -> None:
    portraits = [scene(1600, 1200, [(200, 0, side)]) for side in (900, 1000, 1100)]
    assert min(len(_looks(image)) for image in portraits) == 1


def test_no_closer_look_is_taken_at_large_faces() -> None:
    first, *others = _looks(scene(1600, 1200, [(100, 100, 500), (900, 600, 400)]))
    assert first == (566, 425)  # an eighth of the pixels
    assert others == [(320, 160)]  # the two, side by side


def test_who_asks_for_large_faces_alone_is_spared_the_closer_looks() -> None:
    small = scene(1600, 1200, [(100, 100, 110)])
    assert max(_looks(small, 60)) <= (566, 425) < max(_looks(small, 8))


@pytest.mark.parametrize("clockwise", [90, 180, 270])
def test_a_group_on_its_side_or_upside_down_keeps_its_faces(clockwise: int) -> None:
    group = scene(900, 600, [(20, 30, 200), (300, 300, 160), (600, 60, 120), (640, 330, 220)])
    upright = found(group)
    assert len(upright) == 4
    turned_group = found(group.rotate(-clockwise, expand=True))
    assert len(turned_group) == 4
    for face in turned_group:
        off = (face.roll_degrees - clockwise + 180) % 360 - 180
        assert abs(off) < 15


def test_a_size_is_rounded_up_and_never_nothing() -> None:
    assert sized(1001, 3, 0.5) == (501, 2)
    assert sized(8, 8, 0.001) == (1, 1)


def _found_again(data: bytes) -> Crops:
    return crops_of(data, SPEC, FaceSearch())


def test_the_same_bytes_give_the_same_answer_always() -> None:
    data = encoded(scene(900, 700, [(10, 10, 180), (400, 300, 90), (600, 20, 250)]), "JPEG")
    first, again = _found_again(data), _found_again(data)
    code = (
        "import sys, hashlib; from tests.model.faces.test_pyramid import _found_again; "
        "c = _found_again(sys.stdin.buffer.read()); "
        "print(repr(c.faces), hashlib.sha256(c.pixels).hexdigest())"
    )
    run = functools.partial(subprocess.run, capture_output=True, check=True)
    other = run([sys.executable, "-c", code], input=data).stdout.decode()
    assert first.faces == again.faces
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert other.startswith(repr(first.faces))
