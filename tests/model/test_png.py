"""PNG as viewers show it: broken extras are ignored, and half a picture is none."""

import dataclasses
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from model import png
from model.errors import DecodeError
from model.preprocessing import InputSpec, decode_image

SPEC = InputSpec(32, 32, "rgb")


def chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    total = zlib.crc32(name + body) if crc is None else crc
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", total)


def of_rows(
    rows: bytes, size: int = 32, color: int = 2, depth: int = 8, interlace: int = 0
) -> bytes:
    head = struct.pack(">IIBBBBB", size, size, depth, color, 0, 0, interlace)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return png.SIGNATURE + b"".join(parts)


def picture(**options: object) -> bytes:
    values = np.random.default_rng(0).integers(1, 255, (32, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", **options)
    return buffer.getvalue()


def with_extra(name: bytes, body: bytes, before: bytes) -> bytes:
    """A sound picture with one more chunk, whose checksum is wrong."""
    data = picture()
    at = data.index(before) - 4
    return data[:at] + chunk(name, body, crc=7) + data[at:]


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize(
    ("name", "body"),
    [
        (b"tEXt", b"Comment\0hello"), (b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
        (b"gAMA", struct.pack(">I", 45455)), (b"iCCP", b"icc\0\0junk"), (b"tIME", bytes(7)),
        (b"zTXt", b"Comment\0\0junk"), (b"iTXt", b"Comment\0\0\0\0\0hello"), (b"eXIf", b"MM\0*"),
        (b"prIv", b"what a camera says"),
    ],
)  # fmt: skip
def test_an_ancillary_chunk_of_wrong_checksum_is_ignored(
    name: bytes, body: bytes, before: bytes
) -> None:
    shown = decode_image(with_extra(name, body, before), SPEC).pixels
    np.testing.assert_array_equal(shown, decode_image(picture(), SPEC).pixels)


def test_a_text_too_large_for_pillow_is_ignored() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 10), zip=True)
    shown = decode_image(picture(pnginfo=info), SPEC).pixels
    np.testing.assert_array_equal(shown, decode_image(picture(), SPEC).pixels)


def test_a_critical_chunk_of_wrong_checksum_is_told_as_a_damaged_png() -> None:
    data = picture()
    at = data.index(b"IHDR") + 17
    with pytest.raises(DecodeError) as error:
        decode_image(data[:at] + b"\0\0\0\0" + data[at + 4 :], SPEC)
    assert (error.value.reason, str(error.value)) == (
        "corrupt", "it is a PNG whose header is damaged",
    )  # fmt: skip


@pytest.mark.parametrize("rows", [1, 16, 31])
@pytest.mark.parametrize(
    ("color", "depth", "samples"), [(2, 8, 3), (0, 8, 1), (0, 16, 2), (6, 8, 4)]
)
def test_a_stream_that_ends_properly_after_some_rows_is_truncated(
    rows: int, color: int, depth: int, samples: int
) -> None:
    row = b"\0" + b"\x80" * 32 * samples
    assert decode_image(of_rows(row * 32, color=color, depth=depth), SPEC).width == 32
    with pytest.raises(DecodeError) as error:
        decode_image(of_rows(row * rows, color=color, depth=depth), SPEC)
    assert error.value.reason == "truncated"


def test_an_interlaced_stream_that_ends_early_is_truncated_and_a_whole_one_is_not() -> None:
    # Adam7 of 8x8 grey: passes of 1, 1, 2, 4, 8, 16 and 32 pixels.
    passes = [(1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8)]
    raw = b"".join((b"\0" + b"\x80" * columns) * rows for rows, columns in passes)
    whole = of_rows(raw, size=8, color=0, interlace=1)
    assert not png.is_truncated(whole)
    assert decode_image(whole, InputSpec(8, 8)).pixels.min() == 128
    with pytest.raises(DecodeError, match="ends before the last row"):
        decode_image(of_rows(raw[:-9], size=8, color=0, interlace=1), InputSpec(8, 8))


def test_a_black_picture_is_whole() -> None:
    black = of_rows((b"\0" + bytes(32 * 3)) * 32)
    assert decode_image(black, SPEC).pixels.max() == 0


def deep(samples: np.ndarray, bits: int | None = None) -> bytes:
    """A 16-bit grey PNG, with an sBIT chunk where bits are declared."""
    buffer = io.BytesIO()
    Image.fromarray(samples.astype(np.uint16)).save(buffer, "PNG")
    data = buffer.getvalue()
    if bits is None:
        return data
    at = data.index(b"IDAT") - 4
    return data[:at] + chunk(b"sBIT", bytes([bits])) + data[at:]


RAMP = np.add.outer(np.arange(32), np.arange(32))  # 0 to 62


@pytest.mark.parametrize(
    ("data", "brightest"),
    [
        (deep(RAMP * 1057), 255),  # the type's range
        (deep(RAMP * 66), 15),  # 12 bits are used, and nothing says so: dark it is
        (deep(RAMP * 66, bits=12), 255),  # declared, right-justified
        (deep(RAMP * 66 * 16, bits=12), 255),  # declared, left-justified as the standard asks
        (deep(RAMP * 16, bits=12), 3),  # left-justified and dark: its low bits are empty
        (deep(RAMP * 4), 0),  # under 256: not 8-bit
    ],
)
def test_deep_samples_are_scaled_by_what_the_file_declares(data: bytes, brightest: int) -> None:
    spec = InputSpec(32, 32)
    assert spec.version >= 2
    assert decode_image(data, spec).pixels.max() == brightest


def test_a_spec_of_version_1_keeps_its_pixels() -> None:
    old = InputSpec(32, 32, version=1)
    assert decode_image(deep(RAMP * 4), old).pixels.max() == 248
    assert decode_image(deep(RAMP * 66), old).pixels.max() == 15
    assert old.hash != InputSpec(32, 32).hash


def test_integer_tiffs_of_32_bits_have_no_white_level() -> None:
    buffer = io.BytesIO()
    Image.fromarray(RAMP.astype(np.int32)).save(buffer, "TIFF")
    with pytest.raises(DecodeError, match="no known white level") as error:
        decode_image(buffer.getvalue(), InputSpec(32, 32))
    assert error.value.reason == "unsupported"


@pytest.mark.parametrize(("most", "brightest"), [(None, 15), (4095, 255)])
def test_a_tiff_s_largest_sample_value_is_its_white(most: int | None, brightest: int) -> None:
    buffer = io.BytesIO()
    tags = {281: most} if most else {}
    Image.fromarray((RAMP * 66).astype(np.uint16)).save(buffer, "TIFF", tiffinfo=tags)
    assert decode_image(buffer.getvalue(), InputSpec(32, 32)).pixels.max() == brightest


def test_a_wrong_sum_of_the_whole_stream_is_ignored_and_a_damaged_stream_is_not() -> None:
    data = picture()
    at = data.index(b"IDAT")
    (size,) = struct.unpack(">I", data[at - 4 : at])
    stream = data[at + 4 : at + 4 + size]
    head, tail = data[: at - 4], data[at + 8 + size :]
    np.testing.assert_array_equal(
        decode_image(head + chunk(b"IDAT", stream[:-4] + b"sum?") + tail, SPEC).pixels,
        decode_image(data, SPEC).pixels,
    )
    halves = chunk(b"IDAT", stream[:100]) + chunk(b"IDAT", stream[100:-4] + b"sum?")
    np.testing.assert_array_equal(
        decode_image(head + halves + tail, SPEC).pixels, decode_image(data, SPEC).pixels
    )
    damaged = stream[:60] + b"\xff" * 40 + stream[100:-4] + b"sum?"
    with pytest.raises(DecodeError) as error:
        decode_image(head + chunk(b"IDAT", damaged, crc=7) + tail, SPEC)
    assert error.value.reason == "corrupt"


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("version", [2, 3])
def test_the_gamma_of_a_grey_picture_counts_since_version_3(depth: int, version: int) -> None:
    light = np.linspace(0.0, 1.0, 32 * 32).reshape(32, 32)
    most = (1 << depth) - 1
    samples = (light * most).round().astype(">u2" if depth == 16 else "u1")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", 32, 32, depth, 0, 0, 0, 0)
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000))  # samples are light itself
    parts = chunk(b"IHDR", head), gamma, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    spec = dataclasses.replace(InputSpec(32, 32), version=version)
    shown = decode_image(png.SIGNATURE + b"".join(parts), spec).pixels[..., 0].astype(int)
    light = (samples >> (depth - 8)) / 255
    curve = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    wanted = 255 * (curve if version >= 3 else light)
    assert np.abs(shown - wanted).max() <= 2
