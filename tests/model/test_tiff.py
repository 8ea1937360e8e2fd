"""TIFF as other readers show it: pages, deep samples, colour maps, and what is not read."""

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from model.errors import DecodeError
from model.preprocessing import InputSpec, decode_image
from tests.tiffs import Tags, grey, tiff

SPEC = InputSpec(32, 32, "rgb")
RAMP = np.add.outer(np.arange(32), np.arange(32)).astype(np.float64) / 62  # 0 to 1


def shown(data: bytes, version: int = 3) -> npt.NDArray[np.int64]:
    spec = dataclasses.replace(SPEC, version=version)
    return decode_image(data, spec).pixels.astype(np.int64)


def told(data: bytes) -> tuple[str, str]:
    with pytest.raises(DecodeError) as error:
        decode_image(data, SPEC)
    return error.value.reason, str(error.value)


def test_deep_samples_whose_0_is_white_are_no_negative_since_version_3() -> None:
    data = tiff(((65535 * (1 - RAMP)).astype("<u2"), grey(0)))
    assert np.abs(shown(data)[..., 0] - 255 * RAMP).max() <= 1
    assert np.abs(shown(data, 2)[..., 0] - 255 * (1 - RAMP)).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("samples", [3, 4])
def test_deep_samples_in_planes_are_no_noise_since_version_3(order: str, samples: int) -> None:
    planes = np.stack([65535 * RAMP, 65535 * (1 - RAMP), 65535 * RAMP[::-1]])
    planes = np.concatenate([planes, np.full((samples - 3, 32, 32), 65535.0)])
    tags: Tags = {
        258: (3, (16,) * samples), 262: (3, (2,)), 277: (3, (samples,)), 284: (3, (2,)),
    }  # fmt: skip
    if samples == 4:
        tags[338] = (3, (2,))
    data = tiff((planes.astype(order + "u2"), tags), order=order)
    wanted = np.moveaxis(planes[:3], 0, -1) / 257
    assert np.abs(shown(data) - wanted).max() <= 1
    assert np.abs(shown(data, 2) - wanted).max() > 50


RGB: Tags = {258: (3, (8, 8, 8)), 262: (3, (2,)), 277: (3, (3,))}
PICTURE = np.stack([255 * RAMP, 255 * (1 - RAMP), 255 * RAMP[::-1]], axis=-1).astype(np.uint8)
THUMBNAIL = np.full((8, 8, 3), 200, np.uint8)
REDUCED: Tags = {254: (4, (1,))}


def test_a_thumbnail_is_not_taken_for_its_picture_since_version_3() -> None:
    data = tiff((THUMBNAIL, {**RGB, **REDUCED}), (PICTURE, RGB))
    assert decode_image(data, SPEC).width == 32
    np.testing.assert_array_equal(shown(data), PICTURE)
    assert (shown(data, 2) == 200).all()


def test_a_page_that_is_small_and_alone_is_the_picture() -> None:
    assert decode_image(tiff((THUMBNAIL, {**RGB, **REDUCED})), SPEC).width == 8


def test_a_raw_picture_is_not_its_thumbnail() -> None:
    raw = tiff((THUMBNAIL, {**RGB, **REDUCED, 330: (4, (8,))}))
    assert told(raw) == (
        "unsupported",
        "it is a raw image of a camera, whose pages are thumbnails",
    )
    negative = tiff((THUMBNAIL, {**RGB, **REDUCED, 50706: (3, (1, 4))}))
    assert told(negative)[0] == "unsupported"
    assert "DNG" in told(negative)[1]


def test_a_colour_map_of_eight_bits_is_not_black_since_version_3() -> None:
    colours = tuple([*range(256), *range(255, -1, -1), *[128] * 256])
    indices = (255 * RAMP).astype(np.uint8)
    tags: Tags = {**grey(3, bits=8), 320: (3, colours)}
    wanted = np.stack([indices, 255 - indices, np.full_like(indices, 128)], axis=-1)
    np.testing.assert_array_equal(shown(tiff((indices, tags))), wanted)
    assert shown(tiff((indices, tags)), 2).max() == 0
    deep: Tags = {**grey(3, bits=8), 320: (3, tuple(257 * value for value in colours))}
    np.testing.assert_array_equal(shown(tiff((indices, deep))), wanted)


@pytest.mark.parametrize(
    ("samples", "tags", "text"),
    [
        (RAMP.astype("<f8"), {**grey(1, 64), 339: (3, (3,))}, "1 x 64-bit float"),
        (np.dstack([RAMP] * 3).astype("<f4"),
         {**RGB, 258: (3, (32, 32, 32)), 339: (3, (3, 3, 3))}, "3 x 32-bit float"),
        (RAMP.astype("<f2"), {**grey(1), 339: (3, (3,))}, "1 x 16-bit float"),
        (RAMP.astype("<u8"), grey(1, 64), "1 x 64-bit unsigned"),
        (np.dstack([RAMP] * 2).astype("<u2"),
         {258: (3, (16, 16)), 262: (3, (1,)), 277: (3, (2,)), 338: (3, (2,))},
         "2 x 16-bit unsigned"),
        ((100 * RAMP).astype(np.int8), {**grey(1, 8), 339: (3, (2,))}, "signed samples"),
        ((100 * RAMP).astype("<i2"), {**grey(1), 339: (3, (2,))}, "signed"),
        ((100 * RAMP).astype(np.uint8), {**grey(1, 8), 259: (3, (50001,))}, "of compression 50001"),
        ((100 * RAMP).astype(np.uint8), {**grey(1, 8), 259: (3, (34712,))}, "of compression 34712"),
    ],
)  # fmt: skip
def test_a_sound_file_that_no_decoder_reads_is_unsupported_and_says_why(
    samples: npt.NDArray[np.generic], tags: Tags, text: str
) -> None:
    reason, said = told(tiff((samples, tags)))
    assert reason == "unsupported"
    assert text in said
