"""Half a picture is none: whatever the format, and whether its bytes or its stream end early."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from model.errors import DecodeError
from model.preprocessing import InputSpec, decode_image

SPEC = InputSpec(64, 64, "rgb")


def picture(size: int = 200) -> Image.Image:
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(size), np.arange(size))[..., None] // 2
    return Image.fromarray((ramp + rng.integers(0, 40, (size, size, 3))).clip(0, 255).astype("u1"))


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    image = picture() if kind != "TIFF" or mode != "1" else picture().convert("1")
    image.convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


FILES = {
    "webp": encoded("WEBP"), "webp lossless": encoded("WEBP", lossless=True),
    "webp alpha": encoded("WEBP", "RGBA"),
    "webp animated": encoded("WEBP", save_all=True, append_images=[picture().rotate(90)]),
    "gif": encoded("GIF", "P"), "gif interlaced": encoded("GIF", "P", interlace=1),
    "bmp": encoded("BMP"), "bmp palette": encoded("BMP", "P"), "avif": encoded("AVIF"),
    "tiff": encoded("TIFF"), "tiff lzw": encoded("TIFF", compression="tiff_lzw"),
    "tiff deflate": encoded("TIFF", compression="tiff_adobe_deflate"),
    "tiff packbits": encoded("TIFF", compression="packbits"),
    "tiff jpeg": encoded("TIFF", compression="jpeg"),
    "tiff fax": encoded("TIFF", "1", compression="group4"),
    "tiff strips": encoded("TIFF", compression="tiff_lzw", tiffinfo={278: 16}),
    "jpeg": encoded("JPEG"), "jpeg progressive": encoded("JPEG", progressive=True),
    "png": encoded("PNG"),
}  # fmt: skip


def reason(data: bytes) -> str:
    with pytest.raises(DecodeError, match=r".") as error:
        decode_image(data, SPEC)
    return error.value.reason


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75, 0.95])
@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_truncated(name: str, share: float) -> None:
    data = FILES[name]
    assert decode_image(data, SPEC).width == 200
    assert reason(data[: int(len(data) * share)]) == "truncated"


def ended(data: bytes, share: float) -> bytes:
    """A JPEG with its end marker in the middle of its scan."""
    return data[: int(len(data) * share)].rstrip(b"\xff") + b"\xff\xd9"


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}), ("L", {}), ("CMYK", {}), ("RGB", {"subsampling": 2}),
        ("RGB", {"restart_marker_rows": 1}), ("RGB", {"restart_marker_blocks": 3}),
    ],
)  # fmt: skip
def test_a_jpeg_whose_end_marker_comes_early_is_truncated(
    mode: str, options: dict[str, object], share: float
) -> None:
    data = encoded("JPEG", mode, **options)
    assert decode_image(data, SPEC).width == 200
    assert reason(ended(data, share)) == "truncated"
    assert reason(ended(data, share) + b"after the end") == "truncated"


@pytest.mark.parametrize("side", [64, 2000])
def test_a_dark_jpeg_whose_end_marker_comes_early_is_truncated_at_every_scale(side: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 2000, 2000)
    with pytest.raises(DecodeError) as error:
        decode_image(bytes(data), InputSpec(side, side, "rgb", jpeg_oversample=1))
    assert error.value.reason == "truncated"


def test_a_jpeg_that_ends_behind_a_restart_marker_is_truncated() -> None:
    data = encoded("JPEG", restart_marker_rows=1)
    at = data.rfind(b"\xff\xd3")
    for end in (at, at + 2):
        assert reason(data[:end] + b"\xff\xd9") == "truncated"


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"restart_marker_blocks": 2}],
)
def test_a_picture_with_a_grey_corner_is_whole(mode: str, options: dict[str, object]) -> None:
    values = np.asarray(picture()).copy()
    values[100:] = 128
    buffer = io.BytesIO()
    Image.fromarray(values).convert(mode).save(buffer, "JPEG", **options)
    assert decode_image(buffer.getvalue(), SPEC).pixels[-1, -1].max() in range(126, 131)


def tiff(strip: bytes, compression: int) -> bytes:
    """A grey TIFF of 64x64 in one strip."""
    tags = [
        (256, 64), (257, 64), (258, 8), (259, compression), (262, 1), (273, 8), (277, 1),
        (278, 64), (279, len(strip)),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(strip))
    return head + strip + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_a_tiff_whose_strip_ends_after_some_rows_is_truncated() -> None:
    assert decode_image(tiff(b"\x64" * 64 * 64, 1), SPEC).pixels.min() == 100
    assert reason(tiff(b"\x64" * 64 * 40, 1)) == "truncated"


def test_a_jpeg_within_a_tiff_that_ends_early_is_truncated() -> None:
    buffer = io.BytesIO()
    picture(64).convert("L").save(buffer, "JPEG")
    data = buffer.getvalue()
    assert decode_image(tiff(data, 7), SPEC).width == 64
    assert reason(tiff(ended(data, 0.7), 7)) == "truncated"


@pytest.mark.parametrize("rows", [1, 32, 63])
def test_a_run_length_bmp_that_ends_early_is_truncated(rows: int) -> None:
    def bmp(count: int) -> bytes:
        body = (bytes([64, 100]) + b"\0\0") * count + b"\0\1"
        palette = b"".join(bytes([n, n, n, 0]) for n in range(256))
        sizes = struct.pack("<IHHI", 1078 + len(body), 0, 0, 1078)
        head = struct.pack("<IiiHHIIiiII", 40, 64, 64, 1, 8, 1, len(body), 0, 0, 256, 0)
        return b"BM" + sizes + head + palette + body

    assert decode_image(bmp(64), SPEC).pixels.min() == 100
    assert reason(bmp(rows)) == "truncated"


def test_a_tiff_that_is_damaged_and_has_its_end_is_corrupt() -> None:
    data = FILES["tiff lzw"]
    middle = len(data) // 2
    assert reason(data[:middle] + bytes(400) + data[middle + 400 :]) == "corrupt"


def test_a_gif_without_a_picture_is_named() -> None:
    with pytest.raises(DecodeError, match="it is a GIF whose header is damaged"):
        decode_image(b"GIF89a" + struct.pack("<HH", 9, 9) + b"\0\0\0;", SPEC)
