"""Images whose file says that their numbers mean other colours than sRGB's, as sRGB.

littlecms (Pillow's ImageCms) converts. What moves no colour by more than `_SAME_LEVELS` is not
converted, so that an image with an sRGB profile is byte for byte one without.

Sources: ICC.1:2022 (version 4.4), 10.18 (parametric curve) and annex E (Bradford adaptation);
ISO 23091-2 (CICP); PNG, third edition, 11.3.2.
"""

import dataclasses
import functools
import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from model import heif, png

# A press's CMYK profile has 0.5 to 3 MB; what is larger is no colour profile.
_MAX_PROFILE_BYTES = 4 << 20
# Levels of 255. sRGB's own curve in profiles of few bytes is off by 1 or 2.
_SAME_LEVELS = 3
_MIN_WHITE, _MAX_BLACK = 230, 64  # of sound profiles: white stays light, black stays dark
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # an ICC colour space -> Pillow's mode
# What ImageMagick and others write beside sRGB pixels: its curve, rounded to one exponent.
_GAMMA_OF_SRGB = (0.4475, 0.4625)
# What is to be shrunk is averaged first, to no less than so many times its least size: converting
# takes 10 ns a pixel, 0.12 s of a telephone's image. 3: as Pillow advises for `reducing_gap`.
_REDUCING_GAP = 3
_STEPS = (0, 51, 102, 153, 204, 255)
_D50 = np.array([0.9642, 1.0, 0.8249])  # white of the profile connection space
_D65 = (0.3127, 0.3290)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


@dataclasses.dataclass(frozen=True)
class ColourSpace:
    """What three numbers of a pixel mean.

    Attributes:
        red: chromaticity (x, y) of full red; green and blue likewise.
        green: see `red`.
        blue: see `red`.
        white: chromaticity (x, y) of the lightest pixel.
        gamma: exponent from samples to light; None for sRGB's curve.
    """

    red: tuple[float, float] = (0.64, 0.33)
    green: tuple[float, float] = (0.30, 0.60)
    blue: tuple[float, float] = (0.15, 0.06)
    white: tuple[float, float] = _D65
    gamma: float | None = None


SRGB = ColourSpace()
DISPLAY_P3 = ColourSpace((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
BT_2020 = ColourSpace((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
# CICP: primaries that are not sRGB's. Of the transfers 16 and 18 are HDR's, which sRGB cannot show;
# these here are near enough to sRGB's curve, as browsers take them.
_PRIMARIES = {9: BT_2020, 12: DISPLAY_P3}
_USUAL_TRANSFERS = (1, 2, 6, 13, 14, 15)


def embedded(image: Image.Image, data: bytes, version: int) -> bytes | None:
    """The profile of an opened image: its own, or one of what its file says of its primaries.

    Args:
        image: opened.
        data: the file that it was opened from.
        version: of preprocessing; before 3 a grey PNG had no gamma.
    """
    is_png, profile = image.format == "PNG", image.info.get("icc_profile")
    # (primaries, transfer) by CICP; those of a PNG come before a profile, which older readers see
    points = (png.chunk_of(data, b"cICP") or b"")[:2] if is_png else b""
    if not points and isinstance(profile, bytes) and profile:
        return profile
    if image.format in ("AVIF", heif.FORMAT):
        points = heif.code_points(data)
    if len(points) == 2:
        space = _PRIMARIES.get(points[0]) if points[1] in _USUAL_TRANSFERS else None
        return None if space is None else profile_of(space)
    is_grey = image.mode in ("L", "LA", "I;16")
    if is_png and "srgb" not in image.info and (version >= 3 or not is_grey):
        # of a grey one with alpha RGB is made before its colours count
        is_grey = is_grey and image.mode != "LA" and "transparency" not in image.info
        return _of_png(image.info, is_grey)
    return None


def in_srgb(
    image: Image.Image, profile: bytes, min_size: tuple[int, int], version: int
) -> Image.Image:
    """The image with sRGB's numbers; itself where its profile is damaged or says sRGB.

    Args:
        image: RGB, L, CMYK or what Pillow converts to RGB; RGB is converted in place.
        profile: from `embedded`. One of another colour space than the image is ignored, as
            viewers do.
        min_size: (width, height) in pixels that the result must have, if the image has.
        version: of preprocessing; before 3 dark greys were off by up to 14 levels.

    Returns:
        Mode L of an L image, else RGB; maybe smaller.
    """
    if image.mode == "1" or len(profile) > _MAX_PROFILE_BYTES:
        return image
    mode = image.mode if image.mode in ("L", "CMYK") else "RGB"
    change = _change(profile, mode, is_exact=mode == "L" and version >= 3)
    if change is None:
        return image
    if mode == "L":
        return image.point(change)
    if image.mode != mode:
        image = image.convert(mode)
    factor = min(
        side // (_REDUCING_GAP * goal) for side, goal in zip(image.size, min_size, strict=True)
    )
    if factor > 1:
        image = image.reduce(factor)
    return ImageCms.applyTransform(image, change, inPlace=mode == "RGB") or image


@functools.lru_cache(maxsize=16)
def profile_of(space: ColourSpace) -> bytes:
    """The bytes of a profile: littlecms's own of sRGB, with other primaries and another curve.

    Raises:
        ValueError: the primaries span no space, or a number is too large for the format.
    """
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[24:36] = bytes(12)  # when it was made
    try:
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), to_xyz(space).T, strict=True):
            struct.pack_into(">3i", data, _tag(data, name) + 8, *_fixed(column))
        if space.gamma is not None:
            curve = np.array([space.gamma, 1.0, 0.0, 0.0, 0.0])  # (1 x + 0) ** gamma
            struct.pack_into(">5i", data, _tag(data, b"rTRC") + 12, *_fixed(curve))
    except struct.error as error:
        raise ValueError(f"{space} does not fit a profile: {error}") from None
    return bytes(data)


def to_xyz(space: ColourSpace) -> npt.NDArray[np.float64]:
    """The matrix from linear RGB in [0, 1] to XYZ under D50 (3, 3).

    Raises:
        ValueError: the primaries span no space.
    """
    points = np.array([space.red, space.green, space.blue, space.white]).T
    if (points[1] <= 0).any():
        raise ValueError(f"a chromaticity of {space} is no colour: y must be above 0")
    *_, white = xyz = (np.stack([*points, 1.0 - points.sum(axis=0)]) / points[1]).T
    try:
        matrix: Any = xyz[:3].T * np.linalg.solve(xyz[:3].T, white)
    except np.linalg.LinAlgError:
        raise ValueError(f"the primaries of {space} lie on a line") from None
    cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    return np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ matrix


def _tag(profile: bytearray, name: bytes) -> int:
    """Where a tag begins (7.3)."""
    return struct.unpack_from(">I", profile, profile.index(name, 128) + 4)[0]


def _fixed(values: npt.NDArray[np.float64]) -> list[int]:
    """s15Fixed16Number (4.6)."""
    return [round(float(value) * 65536) for value in values]


@functools.lru_cache(maxsize=8)  # a phone's images all hold the same one; 32 MB at the most
def _change(profile: bytes, mode: str, is_exact: bool) -> Any:
    """What to do to an image of that mode: a transform, for L a table of 256; None for nothing.

    Args:
        profile: see `in_srgb`.
        mode: L, RGB or CMYK.
        is_exact: each value by the curves themselves, not by a table of 33 of them.
    """
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space: str = ImageCms.core.profile_frombytes(profile).xcolor_space
        if _MODES.get(space) != mode:
            return None
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags | ImageCms.Flags.NOOPTIMIZE if is_exact else flags,
        )  # fmt: skip
        if mode == "CMYK":
            return transform
        probe = _probe(mode)
        found = ImageCms.applyTransform(probe, transform)
    except Exception:  # littlecms' wrapper raises nearly anything on damaged profiles
        return None
    if found is None:
        return None
    before, after = probe.convert("RGB").tobytes(), found.tobytes()
    moved = max(abs(a - b) for a, b in zip(before, after, strict=True))
    is_sound = max(after[:3]) <= _MAX_BLACK and min(after[-3:]) >= _MIN_WHITE
    if moved <= _SAME_LEVELS or not is_sound:
        return None
    return list(found.convert("L").tobytes()) if mode == "L" else transform


def _probe(mode: str) -> Image.Image:
    """Colours all over the space, from black to white."""
    if mode == "L":
        return Image.frombytes("L", (256, 1), bytes(range(256)))
    colours = bytes(v for r in _STEPS for g in _STEPS for b in _STEPS for v in (r, g, b))
    return Image.frombytes("RGB", (len(_STEPS) ** 3, 1), colours)


def _of_png(info: dict[Any, Any], is_grey: bool) -> bytes | None:
    """A profile of the chunks cHRM and gAMA (11.3.2.1 and 2), if it has any."""
    numbers, gamma = None if is_grey else info.get("chromaticity"), info.get("gamma")
    if gamma is None:  # primaries alone say nothing, and viewers ignore them
        return None
    is_usual = _GAMMA_OF_SRGB[0] <= gamma <= _GAMMA_OF_SRGB[1]
    if not 0.1 <= gamma <= 1.1 or (is_usual and not numbers):
        return None
    exponent = None if is_usual else 1.0 / gamma
    try:
        white, *primaries = zip(numbers[::2], numbers[1::2], strict=True) if numbers else (_D65,)
        profile = profile_of(ColourSpace(*primaries, white=white, gamma=exponent))
    except (TypeError, ValueError):
        return None
    return (
        profile.replace(b"RGB XYZ ", b"GRAYXYZ ").replace(b"rTRC", b"kTRC") if is_grey else profile
    )
