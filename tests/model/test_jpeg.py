"""JPEG as viewers show it, and plain ones with Pillow's pixels, whatever their size and damage."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from demo.drawn_faces import draw_faces
from model import pictures
from model.errors import DecodeError
from model.pictures import decode_picture
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


SIDES = ((16, 16), (97, 200), (200, 200), (250, 191), (383, 385), (801, 640))


def _photo(width: int, height: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(width * height)
    smooth = Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8))
    return smooth.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def _jpeg(image: Image.Image, **how: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **how)
    return buffer.getvalue()


def _both(data: bytes, monkeypatch: pytest.MonkeyPatch, color: Any, least: int) -> list[Any]:
    """What the plain way gives, and what Pillow gives alone."""
    found: list[Any] = [pictures._plain(data, color, lambda w, h: (least, least))]
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "_plain", lambda *_: None)
        try:
            found.append(decode_picture(data, color, 2, lambda w, h: (least, least)))
        except DecodeError as error:
            found.append(error.reason)
    return found


def _same(plain: Any, pillow: Any) -> bool:
    sizes = [(p.width, p.height, p.image.mode, p.image.size) for p in (plain, pillow)]
    return sizes[0] == sizes[1] and plain.image.tobytes() == pillow.image.tobytes()


@pytest.mark.parametrize("color", ["grey", "rgb"])
@pytest.mark.parametrize("least", [1, 48, 96, 224])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_those_of_pillow(
    color: str, least: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for width, height in SIDES:
        for how in (
            {}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1, "quality": 30},
            {"optimize": True, "comment": b"hello", "restart_marker_blocks": 4},
        ):  # fmt: skip
            data = _jpeg(_photo(width, height, mode), **how)
            plain, pillow = _both(data, monkeypatch, color, least)
            assert plain is not None
            assert _same(plain, pillow), (width, height, how)


@pytest.mark.parametrize(
    "data",
    [
        _jpeg(_photo(64, 64), exif=Image.Exif()),
        _jpeg(_photo(64, 64, "CMYK")),
        _jpeg(_photo(64, 64), icc_profile=b"profile"),
        _jpeg(_photo(64, 64))[:-400],
        b"\xff\xd8\xff",
        b"",
        b"\x89PNG\r\n\x1a\n",
    ],
    ids=["exif", "cmyk", "icc", "cut", "stub", "empty", "png"],
)
def test_anything_else_is_left_to_pillow(data: bytes) -> None:
    assert pictures._plain(data, "rgb", lambda w, h: (48, 48)) is None


def test_damage_gives_pillows_pixels_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_faces(tmp_path, 4, seed=1)
    rng = np.random.default_rng(0)
    originals = [path.read_bytes() for path in sorted(tmp_path.glob("*.jpg"))]
    originals += [_jpeg(_photo(120, 90), progressive=True), _jpeg(_photo(120, 90, "L"))]
    taken = 0
    for number in range(600):
        data = bytearray(originals[number % len(originals)])
        for _ in range(int(rng.integers(1, 6))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        if number % 5 == 0:
            del data[int(rng.integers(20, len(data))) :]
        plain, pillow = _both(bytes(data), monkeypatch, "rgb", 48)
        if plain is not None:
            taken += 1
            assert not isinstance(pillow, str), f"{number}: Pillow says {pillow}"
            assert _same(plain, pillow), number
    assert taken > 50


@pytest.mark.slow
def test_every_file_of_utkface_has_pillows_pixels(
    utkface_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(utkface_dir.rglob("*.jpg"))
    plain_ones = 0
    for file in files:
        plain, pillow = _both(file.read_bytes(), monkeypatch, "rgb", 96)
        if plain is not None:
            plain_ones += 1
            assert _same(plain, pillow), file.name
    assert plain_ones > 0.99 * len(files) > 0
