"""JPEG as viewers show it: without an end marker it is whole if its blocks are all there."""

import io

import numpy as np
import pytest
from PIL import Image

from model.errors import DecodeError
from model.preprocessing import InputSpec, decode_image

SPEC = InputSpec(64, 64, "rgb")


def encoded(size: tuple[int, int] = (200, 150), color: str = "RGB", **options: object) -> bytes:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).convert(color)
    image.save(buffer, "JPEG", **{"quality": 85, **options})
    return buffer.getvalue()


def told(data: bytes) -> tuple[str, str]:
    with pytest.raises(DecodeError) as error:
        decode_image(data, SPEC)
    return error.value.reason, str(error.value)


@pytest.mark.parametrize("color", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}])
def test_a_lost_end_marker_costs_nothing(color: str, options: dict[str, object]) -> None:
    data = encoded(color=color, **options)
    assert data.endswith(b"\xff\xd9")
    for cut in (1, 2):
        np.testing.assert_array_equal(
            decode_image(data[:-cut], SPEC).pixels, decode_image(data, SPEC).pixels
        )


def test_a_restart_interval_without_an_end_marker_is_whole_too() -> None:
    data = encoded(restart_marker_blocks=5)
    np.testing.assert_array_equal(
        decode_image(data[:-2], SPEC).pixels, decode_image(data, SPEC).pixels
    )


@pytest.mark.parametrize("cut", [5, 9, 17, 60, 300])
@pytest.mark.parametrize("color", ["RGB", "L"])
def test_a_lost_block_is_truncated(color: str, cut: int) -> None:
    assert told(encoded(color=color)[:-cut])[0] == "truncated"


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_progressive_one_without_an_end_is_truncated(cut: int) -> None:
    """Nobody knows how many scans it had."""
    assert told(encoded(progressive=True)[:-cut])[0] == "truncated"


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_a_file_that_ends_in_its_header_is_truncated(share: float) -> None:
    data = encoded()
    head = data[: data.index(b"\xff\xda")]
    assert told(head[: max(4, int(len(head) * share))])[0] == "truncated"


def test_a_height_behind_the_picture_is_unsupported() -> None:
    data = encoded()
    at = data.index(b"\xff\xc0")
    reason, text = told(data[: at + 5] + b"\0\0" + data[at + 7 :])
    assert reason == "unsupported"
    assert "DNL" in text


def test_a_damaged_header_is_corrupt_and_its_signature_is_not_quoted() -> None:
    data = bytearray(encoded())
    data[20:26] = b"abcdef"
    data[2:4] = b"\xff\xff"
    reason, text = told(bytes(data[:2] + b"\xff\xe0\x00\x02" + b"junk" * 40))
    assert (reason, text) == ("corrupt", "it is a JPEG whose header is damaged")
