"""benchmarks/faces: its images hold what it says."""

import numpy as np
import pytest

from benchmarks.faces.labelled import labels_of
from benchmarks.faces.scenes import background, canvas, jpeg, photograph
from model.faces.crops import FaceSearch, crops_of
from model.preprocessing import InputSpec
from tests.photographs import HEAD, portrait

SPEC = InputSpec(96, 96, "rgb")


@pytest.mark.parametrize("side", [150, 300])
@pytest.mark.parametrize("degrees", [0, 20])
def test_pasted_faces_are_found_where_they_were_pasted(side: int, degrees: int) -> None:
    chips = [portrait().crop(HEAD)] * 6
    image, pasted = canvas(chips, side, degrees, np.random.default_rng(3))
    crops = crops_of(jpeg(image, 95), SPEC, FaceSearch())
    assert crops.faces is not None
    assert len(crops.faces) == 6
    for place in pasted:
        (face,) = [face for face in crops.faces if place.holds(face)]
        assert face.roll_degrees == pytest.approx(place.roll + 2, abs=10)


@pytest.mark.parametrize(("megapixels", "faces"), [(0.25, 1), (0.25, 20), (1, 5)])
def test_a_photograph_has_its_size_and_its_faces(megapixels: float, faces: int) -> None:
    chips = [portrait().crop(HEAD)] * faces
    image, pasted = photograph(chips, megapixels, np.random.default_rng(0))
    assert image.width * image.height == pytest.approx(megapixels * 1e6, rel=0.01)
    found = crops_of(jpeg(image, 90), SPEC, FaceSearch()).faces or ()
    assert all(any(place.holds(face) for face in found) for place in pasted)


def test_backgrounds_have_no_face() -> None:
    rng = np.random.default_rng(5)
    for _ in range(10):
        assert crops_of(jpeg(background(500, 375, rng), 90), SPEC, FaceSearch()).faces == ()


def test_boxes_of_two_lists_are_counted_once(tmp_path) -> None:
    box = '<box top="10" left="5" width="20" height="30"><label>x</label></box>'
    for name in ("testing.xml", "training.xml"):
        (tmp_path / name).write_text(
            f"<dataset><images><image file='a.jpg'>{box}</image></images></dataset>"
        )
    assert labels_of(tmp_path) == {"a.jpg": [(5.0, 10.0, 20.0, 30.0)]}
