"""What a file says of its colours is what the network sees, and what it says wrongly is ignored."""

import dataclasses
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from model.colours import DISPLAY_P3, SRGB, ColourSpace, profile_of, to_xyz
from model.preprocessing import InputSpec, decode_image
from tests.wide_gamut import ADOBE_RGB, from_light, in_space

RGB = InputSpec(32, 32, "rgb")
GREY = InputSpec(32, 32, "grey")
COLOURS = [(200, 120, 90), (60, 90, 160), (128, 128, 128), (230, 200, 180), (40, 30, 25)]
COLUMNS = (b"rXYZ", b"gXYZ", b"bXYZ")
BUILT_IN = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def patches(space: ColourSpace = SRGB) -> Image.Image:
    """A column of 32x32 for each of `COLOURS`, in a space's numbers."""
    numbers = in_space(COLOURS, space).round().astype(np.uint8)
    return Image.fromarray(np.tile(numbers[None], (32, 1, 1)).repeat(8, axis=1))


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(data: bytes, spec: InputSpec = RGB) -> Any:
    return decode_image(data, spec).pixels.astype(int)


def flat(colour: Any, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (32, 32), tuple(int(v) for v in np.atleast_1d(colour).round()))


def with_chunk(data: bytes, name: bytes, body: bytes) -> bytes:
    """A PNG with a chunk behind its header."""
    check = struct.pack(">I", zlib.crc32(name + body))
    return data[:33] + struct.pack(">I", len(body)) + name + body + check + data[33:]


@pytest.mark.parametrize("space", [ADOBE_RGB, DISPLAY_P3], ids=["adobe", "p3"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("JPEG", {"quality": 100, "subsampling": 0}), ("TIFF", {}),
     ("WEBP", {"lossless": True}), ("AVIF", {"quality": 100, "subsampling": "4:4:4"})],
)  # fmt: skip
@pytest.mark.parametrize("colour", COLOURS, ids=str)
def test_a_colour_of_a_wide_gamut_comes_back_as_its_srgb(
    space: ColourSpace, kind: str, options: dict[str, Any], colour: tuple[int, ...]
) -> None:
    stored = in_space(colour, space).round()
    data = saved(flat(stored), kind, icc_profile=profile_of(space), **options)
    assert np.abs(pixels(data) - colour).max() <= (4 if kind == "AVIF" else 2)
    old = pixels(data, dataclasses.replace(RGB, version=1))
    assert np.abs(old - stored).max() <= (4 if kind == "AVIF" else 1)  # version 1 ignores it


def test_primaries_and_curves_are_those_of_the_standards() -> None:
    expected = [[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7142]]
    np.testing.assert_allclose(to_xyz(SRGB), expected, atol=4e-4)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile_of(SRGB)))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    same = ImageCms.applyTransform(noise, transform)
    assert same is not None
    assert np.abs(np.asarray(same).astype(int) - np.asarray(noise)).max() <= 1


@pytest.mark.parametrize("profile", [BUILT_IN, profile_of(SRGB)], ids=["littlecms", "ours"])
@pytest.mark.parametrize("spec", [RGB, GREY], ids=["rgb", "grey"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_srgb_profile_changes_no_byte(profile: bytes, spec: InputSpec, kind: str) -> None:
    plain, with_profile = saved(patches(), kind), saved(patches(), kind, icc_profile=profile)
    assert plain != with_profile
    assert (pixels(plain, spec) == pixels(with_profile, spec)).all()


def cut(profile: bytes) -> bytes:
    return profile[: len(profile) // 2]


def without_light(profile: bytes) -> bytes:
    """A profile whose primaries are black."""
    at = min(struct.unpack_from(">I", profile, profile.index(name) + 4)[0] for name in COLUMNS)
    return profile[:at] + (b"XYZ " + bytes(16)) * 3 + profile[at + 60 :]


@pytest.mark.parametrize(
    "profile",
    [
        b"\7" * 600,
        cut(profile_of(ADOBE_RGB)),
        profile_of(ADOBE_RGB)[:128] + b"\xff" * 200,
        profile_of(ADOBE_RGB).replace(b"RGB XYZ ", b"CMYKXYZ "),
        profile_of(ADOBE_RGB).replace(b"RGB XYZ ", b"GRAYXYZ "),
        profile_of(ADOBE_RGB).replace(b"rTRC", b"nope"),
        without_light(profile_of(ADOBE_RGB)),
        profile_of(ADOBE_RGB) + bytes(5 << 20),
    ],
    ids=["noise", "cut", "tags", "cmyk", "grey", "no-curve", "no-white", "huge"],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_a_damaged_or_foreign_profile_is_ignored(profile: bytes, kind: str) -> None:
    image = patches()
    assert (pixels(saved(image, kind, icc_profile=profile)) == pixels(saved(image, kind))).all()


def test_any_damaged_byte_of_a_profile_is_survived() -> None:
    image, rng = patches(), np.random.default_rng(0)
    for at in range(0, 400, 3):
        profile = bytearray(profile_of(DISPLAY_P3))
        profile[at] ^= int(rng.integers(1, 256))
        assert pixels(saved(image, "TIFF", icc_profile=bytes(profile))).shape == (32, 32, 3)


def test_a_png_whose_profile_is_packed_in_an_unknown_way_is_read_without() -> None:
    plain = saved(patches())
    assert (pixels(with_chunk(plain, b"iCCP", b"name\0\7" + bytes(60))) == pixels(plain)).all()
    assert (pixels(with_chunk(plain, b"iCCP", b"name")) == pixels(plain)).all()


@pytest.mark.parametrize("mode", ["RGBA", "P", "RGBX"])
def test_other_modes_are_converted_too(mode: str) -> None:
    stored = flat(in_space(COLOURS[0], ADOBE_RGB))
    stored = stored.quantize(4) if mode == "P" else stored.convert(mode)
    kind = "TIFF" if mode == "RGBX" else "PNG"
    data = saved(stored, kind, icc_profile=profile_of(ADOBE_RGB))
    assert np.abs(pixels(data) - COLOURS[0]).max() <= 2


@pytest.mark.parametrize("spec", [RGB, GREY], ids=["rgb", "grey"])
def test_a_large_picture_is_averaged_before_it_is_converted(spec: InputSpec) -> None:
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(60, 200, (12, 9, 3), dtype=np.uint8))
    large = rough.resize((1203, 1601), Image.Resampling.BICUBIC)
    numbers = in_space(np.asarray(large), ADOBE_RGB).round().astype(np.uint8)
    stored = Image.fromarray(numbers)
    found = decode_image(saved(stored, icc_profile=profile_of(ADOBE_RGB)), spec)
    assert (found.width, found.height) == (1203, 1601)
    assert np.abs(found.pixels.astype(int) - pixels(saved(large), spec)).max() <= 3


def test_what_is_clear_stays_white() -> None:
    clear = Image.new("RGBA", (32, 32), (10, 200, 30, 0))
    assert (pixels(saved(clear, icc_profile=profile_of(DISPLAY_P3))) == 255).all()


def test_grey_for_the_network_is_the_luma_of_the_srgb_colour() -> None:
    colour = COLOURS[0]
    data = saved(flat(in_space(colour, ADOBE_RGB)), icc_profile=profile_of(ADOBE_RGB))
    luma = int(np.dot(colour, [0.299, 0.587, 0.114]))
    assert np.abs(pixels(data, GREY) - luma).max() <= 2


def grey_profile(gamma: float) -> bytes:
    """A profile of one curve."""
    profile = profile_of(ColourSpace(gamma=gamma))
    return profile.replace(b"RGB XYZ ", b"GRAYXYZ ").replace(b"rTRC", b"kTRC")


def test_a_grey_profile_is_followed_in_grey_and_ignored_in_colour() -> None:
    profile = grey_profile(1.8)  # of Macintosh scans: lighter than sRGB says
    data = saved(flat(100, "L"), icc_profile=profile)
    wanted = round(255 * float(from_light((100 / 255) ** 1.8)))
    assert wanted > 110
    assert np.abs(pixels(data, GREY) - wanted).max() <= 2
    assert np.abs(pixels(data, RGB) - wanted).max() <= 2
    colour = saved(patches(), icc_profile=profile)
    assert (pixels(colour) == pixels(saved(patches()))).all()
    odd = saved(flat(100, "L"), icc_profile=profile_of(ADOBE_RGB))
    assert (pixels(odd) == 100).all()


def test_a_cmyk_jpeg_with_an_rgb_profile_is_as_without() -> None:
    cmyk = patches().convert("CMYK")
    data = saved(cmyk, "JPEG", icc_profile=profile_of(ADOBE_RGB))
    assert (pixels(data) == pixels(saved(cmyk, "JPEG"))).all()


def press_profile() -> bytes:
    """A CMYK profile of two points an ink, lut8Type (ICC.1:2001-04, 6.5.8): ink is paper less it.

    Full cyan is a dark green here, as it is in no press and in no formula of Pillow's.
    """
    inks = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    lab = bytearray()
    for c, m, y, k in inks:
        lab += bytes([255 * (1 - k) // (1 + c + m + y), 128 - 40 * c * (1 - k), 128])
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    table = struct.pack(">4s4xBBBx", b"mft1", 4, 3, 2) + identity + ramp * 4 + bytes(lab) + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"A2B0", 176, len(table))
    head = bytearray(profile_of(SRGB)[:128])
    head[:4] = struct.pack(">I", 176 + len(table))
    head[12:24] = b"prtrCMYKLab "
    return bytes(head) + tags + white + table


def test_the_profile_of_a_cmyk_jpeg_says_what_its_inks_are() -> None:
    profile = press_profile()
    for ink, is_wanted in (
        ((0, 0, 0, 0), lambda rgb: rgb.min() >= 250),
        ((0, 0, 0, 255), lambda rgb: rgb.max() <= 5),
        ((255, 0, 0, 0), lambda rgb: rgb[1] > rgb[0] + 40 and rgb[1] > rgb[2] + 10),
    ):
        for kind in ("JPEG", "TIFF"):
            data = saved(flat(ink, "CMYK"), kind, icc_profile=profile)
            assert is_wanted(pixels(data)[16, 16]), (ink, kind, pixels(data)[16, 16])


def chromaticities(space: ColourSpace) -> bytes:
    points = (*space.white, *space.red, *space.green, *space.blue)
    return struct.pack(">8I", *(round(v * 100_000) for v in points))


def test_a_png_s_gamma_and_primaries_count_where_it_has_no_profile() -> None:
    colour = COLOURS[0]
    bare = saved(flat(in_space(colour, ADOBE_RGB)))
    primaries = with_chunk(bare, b"cHRM", chromaticities(ADOBE_RGB))
    gamma = struct.pack(">I", round(100_000 / (563 / 256)))
    as_bare = pixels(bare)
    assert (pixels(primaries) == as_bare).all()  # primaries without a curve
    # 1/2.2 is what sRGB's own curve is called, so the darks may differ
    assert np.abs(pixels(with_chunk(primaries, b"gAMA", gamma)) - colour).max() <= 3
    marked = with_chunk(with_chunk(primaries, b"gAMA", gamma), b"sRGB", b"\0")
    assert (pixels(marked) == as_bare).all()
    usual = with_chunk(saved(patches()), b"gAMA", struct.pack(">I", 45455))
    usual = with_chunk(usual, b"cHRM", chromaticities(SRGB))
    assert (pixels(usual) == pixels(saved(patches()))).all()
    mac = with_chunk(saved(flat((100, 100, 100))), b"gAMA", struct.pack(">I", 55556))
    assert pixels(mac).min() > 110


def test_the_code_points_of_a_png_and_an_avif_count() -> None:
    colour = COLOURS[0]
    stored = flat(in_space(colour, DISPLAY_P3))
    p3, hdr = with_chunk(saved(stored), b"cICP", b"\x0c\x0d\0\1"), b"\x0c\x10\0\1"
    assert np.abs(pixels(p3) - colour).max() <= 2
    assert (pixels(with_chunk(saved(stored), b"cICP", hdr)) == pixels(saved(stored))).all()
    # they come before a profile, which older readers see
    both = with_chunk(saved(stored, icc_profile=profile_of(ADOBE_RGB)), b"cICP", b"\x0c\x0d\0\1")
    assert np.abs(pixels(both) - colour).max() <= 2
    avif = saved(stored, "AVIF", quality=100, subsampling="4:4:4")
    usual = b"colrnclx" + struct.pack(">HH", 1, 13)
    assert usual in avif
    wide = avif.replace(usual, b"colrnclx" + struct.pack(">HH", 12, 13))
    assert np.abs(pixels(wide) - colour).max() <= 4
    assert (pixels(wide, dataclasses.replace(RGB, version=1)) == pixels(avif)).all()


@pytest.mark.parametrize(
    ("primaries", "gamma"),
    [((0,) * 8, 45455), ((31270, 32900) * 4, 45455), ((2**32 - 1,) * 8, 45455),
     ((31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000), 0),
     ((31270, 32900, 64000, 33000, 30000, 60000, 15000, 1), 2**31)],
)  # fmt: skip
def test_primaries_that_span_no_colours_are_ignored(primaries: Any, gamma: int) -> None:
    plain = saved(patches())
    data = with_chunk(plain, b"cHRM", struct.pack(">8I", *primaries))
    data = with_chunk(data, b"gAMA", struct.pack(">I", gamma))
    assert (pixels(data) == pixels(plain)).all()
