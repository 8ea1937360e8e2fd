"""From a file to aligned faces: one function, whatever the file, and nothing lost on the way."""

import math

import numpy as np
import pytest
from PIL import Image

from demo.drawn_faces import draw_face
from model.errors import DecodeError
from model.faces.alignment import UTKFACE_CHIPS
from model.faces.crops import Crops, FaceSearch, crops_of, finding_id
from model.preprocessing import InputSpec, decode_image
from tests.photographs import encoded, faceless, portrait, scene, turned

SPEC = InputSpec(96, 96, "rgb")
THREE = [(10, 10, 180), (250, 20, 230), (480, 150, 120)]


def find(image: Image.Image, kind: str = "PNG", spec: InputSpec = SPEC, **options) -> Crops:
    return crops_of(encoded(image, kind, **options), spec, FaceSearch())


def difference(one: np.ndarray, two: np.ndarray) -> float:
    """Mean of the absolute differences, 0-255."""
    return float(np.abs(one.astype(float) - two).mean())


def coarse(pixels: np.ndarray) -> np.ndarray:
    """The middle of a crop of 96x96 in 16x16 pixels: what is there, and no edges."""
    return np.asarray(Image.fromarray(pixels[16:80, 16:80]).reduce(4))


@pytest.fixture(scope="module")
def usual() -> Crops:
    return find(portrait())


def test_the_points_of_a_crop_are_the_template_s(usual: Crops) -> None:
    """An aligned face, found once more in its own crop."""
    spec = InputSpec(200, 200, "rgb")
    chip = Image.fromarray(find(portrait(), spec=spec).pixels[0])
    again = find(chip, spec=spec).faces
    assert again is not None
    template = np.array(UTKFACE_CHIPS.points).reshape(5, 2) * 200
    assert np.abs(again[0].point_array - template).mean() < 6
    assert usual.pixels.shape == (1, 96, 96, 3)


@pytest.mark.parametrize("degrees", [-30, -15, 15, 30])
def test_a_turned_face_gives_nearly_the_same_crop(usual: Crops, degrees: int) -> None:
    crop = coarse(find(turned(degrees)).pixels[0])
    leaning = coarse(np.asarray(Image.fromarray(usual.pixels[0]).rotate(-degrees)))
    off = difference(crop, coarse(usual.pixels[0]))
    assert off < 14
    assert off < 0.6 * difference(leaning, coarse(usual.pixels[0]))  # of one not turned back


@pytest.mark.parametrize("zoom", [0.5, 4, 18])
def test_a_larger_or_smaller_face_gives_nearly_the_same_crop(usual: Crops, zoom: float) -> None:
    crop = find(turned(0, zoom, round(max(500, 115 * zoom)))).pixels[0]
    assert difference(crop, usual.pixels[0]) < 16


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_is_honoured_and_boxes_are_of_the_upright_picture(
    usual: Crops, orientation: int
) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    upright = portrait().crop((0, 0, 512, 400))
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned_by_exif, as_it_is = find(stored, exif=exif), find(upright)
    assert (turned_by_exif.width, turned_by_exif.height) == (512, 400)
    assert turned_by_exif.faces == as_it_is.faces
    np.testing.assert_array_equal(turned_by_exif.pixels, as_it_is.pixels)


def test_grey_and_16_bit_pictures_are_searched_too(usual: Crops) -> None:
    grey = portrait().convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    plain = find(grey)
    np.testing.assert_array_equal(find(deep).pixels, plain.pixels)
    luma = np.asarray(Image.fromarray(usual.pixels[0]).convert("L"))
    assert difference(plain.pixels[0].mean(axis=-1), luma) < 12


def test_a_grey_network_gets_grey_crops_of_the_faces_found_in_colour(usual: Crops) -> None:
    crops = find(portrait(), spec=InputSpec(96, 96, "grey"))
    assert crops.pixels.shape == (1, 96, 96, 1)
    assert crops.faces == usual.faces
    luma = np.asarray(Image.fromarray(usual.pixels[0]).convert("L"))
    np.testing.assert_array_equal(crops.pixels[0, :, :, 0], luma)


def test_a_jpeg_decoded_at_a_reduced_scale_agrees_with_a_png() -> None:
    image = scene(3200, 2400, [(300, 200, 1800)])
    jpeg, png = find(image, "JPEG", quality=95), find(image)
    (one,), (two,) = jpeg.faces or (), png.faces or ()
    assert np.abs(one.point_array - two.point_array).max() < 0.05 * two.eye_distance_px
    assert difference(jpeg.pixels, png.pixels) < 5


def test_faces_are_numbered_from_the_largest() -> None:
    crops = find(scene(700, 300, THREE))
    assert crops.faces is not None
    lefts = [round(face.left) // 200 for face in crops.faces]
    assert lefts == [1, 0, 2]
    assert len(crops.pixels) == 3
    assert [face.area for face in crops.faces] == sorted(
        (face.area for face in crops.faces), reverse=True
    )
    for pixels in crops.pixels[1:]:  # one person, so the crops tell no other story than the boxes
        assert difference(pixels, crops.pixels[0]) < 25


@pytest.mark.parametrize(
    ("search", "kept", "skipped"),
    [
        (FaceSearch(), 3, 0),
        (FaceSearch(max_faces=1), 1, 2),
        (FaceSearch(min_eye_distance_px=30), 2, 1),
        (FaceSearch(min_eye_distance_px=40, max_faces=1), 1, 2),
        (FaceSearch(min_eye_distance_px=500), 0, 3),
    ],
)
def test_faces_that_an_option_leaves_out_are_counted(
    search: FaceSearch, kept: int, skipped: int
) -> None:
    data = encoded(scene(700, 300, THREE))
    crops, all_of_them = crops_of(data, SPEC, search), crops_of(data, SPEC, FaceSearch())
    assert (len(crops.faces or ()), crops.skipped) == (kept, skipped)
    for face, same in zip(crops.faces or (), all_of_them.faces or (), strict=False):
        np.testing.assert_allclose(face.points, same.points, atol=1)


def test_a_higher_least_score_finds_fewer() -> None:
    drawn = encoded(draw_face(0, 3)[1])  # scores 0.85
    assert len(crops_of(drawn, SPEC, FaceSearch(0.7)).faces or ()) == 1
    assert crops_of(drawn, SPEC, FaceSearch(0.9)).faces == ()


def test_drawn_faces_are_found_with_less_certainty() -> None:
    for index in range(8):
        faces = crops_of(encoded(draw_face(2, index)[1]), SPEC, FaceSearch(0.5)).faces
        assert len(faces or ()) == 1


@pytest.mark.parametrize("size", [(640, 480), (8, 9), (3000, 40)])
def test_a_picture_of_nobody_has_no_crop(size: tuple[int, int]) -> None:
    crops = find(faceless(*size))
    assert (crops.faces, crops.skipped) == ((), 0)
    assert crops.pixels.shape == (0, 96, 96, 3)
    assert (crops.width, crops.height) == size


def test_a_face_of_5_pixels_is_nobody() -> None:
    assert find(scene(800, 600, [(300, 200, 12)])).faces == ()


def test_a_cut_face_is_grey_where_the_picture_ends() -> None:
    crops = find(scene(500, 400, [(-88, 50, 240)]))
    assert len(crops.faces or ()) == 1
    assert (crops.pixels[0, :, 0] == 128).all()


def test_a_whole_picture_is_one_crop_and_no_face() -> None:
    data = encoded(portrait(), "JPEG")
    crops = crops_of(data, SPEC)
    assert (crops.faces, len(crops.pixels)) == (None, 1)
    np.testing.assert_array_equal(crops.pixels[0], decode_image(data, SPEC).pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_points_that_are_given_give_the_crop_of_the_face_that_was_found(kind: str) -> None:
    data = encoded(scene(2400, 1800, [(200, 100, 900), (1500, 1200, 150)]), kind)
    found = crops_of(data, SPEC, FaceSearch())
    assert found.faces is not None
    for pixels, face in zip(found.pixels, found.faces, strict=True):
        given = crops_of(data, SPEC, face.points)
        assert (given.width, given.height, len(given.pixels)) == (2400, 1800, 1)
        assert math.isnan((given.faces or ())[0].score)
        assert difference(given.pixels[0], pixels) < 3


GOOD = (202.0, 103.5, 245.0, 104.5, 222.0, 126.0, 203.5, 143.0, 240.5, 144.5)


@pytest.mark.parametrize(
    "points",
    [
        (math.nan, *GOOD[1:]), (*GOOD[:9], math.inf), GOOD[:8], (*GOOD, 1.0), (), (5.0,) * 10,
    ],
)  # fmt: skip
def test_points_that_are_none_are_a_reason(points: tuple[float, ...]) -> None:
    with pytest.raises(DecodeError, match=r"^the face's five points must be ten numbers") as error:
        crops_of(encoded(portrait()), SPEC, points)
    assert error.value.reason == "bad_points"


def test_points_far_outside_the_picture_are_a_grey_crop() -> None:
    far = tuple(value + 5000 for value in GOOD)
    assert (crops_of(encoded(portrait()), SPEC, far).pixels == 128).all()


@pytest.mark.parametrize("wanted", [FaceSearch(), GOOD, None])
def test_a_damaged_file_has_its_reason_whatever_is_wanted(wanted) -> None:
    data = encoded(portrait(), "JPEG")
    with pytest.raises(DecodeError) as error:
        crops_of(data[: len(data) // 2], SPEC, wanted)
    assert error.value.reason == "truncated"


def test_who_finds_and_aligns_is_told_by_an_id() -> None:
    other = InputSpec(96, 96, "rgb", alignment=UTKFACE_CHIPS)
    assert finding_id(SPEC) == finding_id(other)  # without one it is this one
    assert finding_id(SPEC).endswith(UTKFACE_CHIPS.hash)
