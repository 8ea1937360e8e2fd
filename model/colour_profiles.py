"""Pictures whose file says that their numbers mean other colours than sRGB's, as sRGB.

littlecms (Pillow's ImageCms) converts. What moves no colour by more than `_SAME_LEVELS` is not
converted, so that a picture with an sRGB profile is byte for byte one without.
"""

import functools
import io
from typing import Any

from PIL import Image, ImageCms

from model import heif, png
from model.icc import BT_2020, D65, DISPLAY_P3, SRGB, ColourSpace, grey_profile_of, profile_of

# A press's CMYK profile has 0.5 to 3 MB; what is larger is no colour profile.
_MOST_PROFILE_BYTES = 4 << 20
# Levels of 255. sRGB's own curve in profiles of few bytes is off by 1 or 2.
_SAME_LEVELS = 3
_LEAST_WHITE, _MOST_BLACK = 230, 64  # of sound profiles: white stays light, black stays dark
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # an ICC colour space -> Pillow's mode
# What ImageMagick and others write beside sRGB pixels: its curve, rounded to one exponent.
_GAMMA_OF_SRGB = (0.4475, 0.4625)
# What is to be shrunk is averaged first, to no less than so many times its least size: converting
# takes 10 ns a pixel, 0.12 s of a telephone's picture. 3: as Pillow advises for `reducing_gap`.
_REDUCING_GAP = 3
# ISO 23091-2 (CICP), primaries that are not sRGB's. Of the transfers 16 and 18 are HDR's, which
# sRGB cannot show; these here are near enough to sRGB's curve, as browsers take them.
_PRIMARIES = {9: BT_2020, 12: DISPLAY_P3}
_USUAL_TRANSFERS = (1, 2, 6, 13, 14, 15)
_STEPS = (0, 51, 102, 153, 204, 255)


def embedded(image: Image.Image, data: bytes, version: int) -> bytes | None:
    """The profile of an opened image: its own, or one of what its file says of its primaries.

    Args:
        image: opened.
        data: the file that it was opened from.
        version: of preprocessing; before 3 a grey PNG had no gamma.
    """
    is_png, is_media = image.format == "PNG", image.format in ("AVIF", heif.FORMAT)
    points = png.code_points(data) if is_png else None
    profile = image.info.get("icc_profile")
    if points is None and isinstance(profile, bytes) and profile:
        return profile
    points = heif.code_points(data) if is_media else points
    if points is not None:
        return _of_code_points(*points)
    is_grey = image.mode in ("L", "LA", "I;16")
    if is_png and "srgb" not in image.info and (version >= 3 or not is_grey):
        # of a grey one with alpha RGB is made before its colours count
        is_grey = is_grey and image.mode != "LA" and "transparency" not in image.info
        return _of_png(image.info, is_grey)
    return None


def in_srgb(
    image: Image.Image, profile: bytes, least: tuple[int, int], version: int
) -> Image.Image:
    """The picture with sRGB's numbers; itself where its profile is damaged or says sRGB.

    Args:
        image: RGB, L, CMYK or what Pillow converts to RGB; RGB is converted in place.
        profile: from `embedded`. One of another colour space than the image is ignored, as
            viewers do.
        least: (width, height) in pixels that the result must have, if the image has.
        version: of preprocessing; before 3 dark greys were off by up to 14 levels.

    Returns:
        Mode L of an L image, else RGB; maybe smaller.
    """
    if image.mode == "1" or len(profile) > _MOST_PROFILE_BYTES:
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
        side // (_REDUCING_GAP * goal) for side, goal in zip(image.size, least, strict=True)
    )
    if factor > 1:
        image = image.reduce(factor)
    return ImageCms.applyTransform(image, change, inPlace=mode == "RGB") or image


@functools.lru_cache(maxsize=8)  # a phone's pictures all hold the same one; 32 MB at the most
def _change(profile: bytes, mode: str, is_exact: bool) -> Any:
    """What to do to an image of that mode: a transform, for L a table of 256; None for nothing."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space: str = ImageCms.core.profile_frombytes(profile).xcolor_space
        if _MODES.get(space) != mode:
            return None
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC, _flags(is_exact),
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
    most = max(abs(a - b) for a, b in zip(before, after, strict=True))
    is_sound = max(after[:3]) <= _MOST_BLACK and min(after[-3:]) >= _LEAST_WHITE
    if most <= _SAME_LEVELS or not is_sound:
        return None
    return list(found.convert("L").tobytes()) if mode == "L" else transform


def _flags(is_exact: bool) -> ImageCms.Flags:
    """`is_exact`: each value by the curves themselves, not by a table of 33 of them."""
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    return flags | ImageCms.Flags.NOOPTIMIZE if is_exact else flags


def _probe(mode: str) -> Image.Image:
    """Colours all over the space, from black to white."""
    if mode == "L":
        return Image.frombytes("L", (256, 1), bytes(range(256)))
    colours = bytes(v for r in _STEPS for g in _STEPS for b in _STEPS for v in (r, g, b))
    return Image.frombytes("RGB", (len(_STEPS) ** 3, 1), colours)


def _of_code_points(primaries: int, transfer: int) -> bytes | None:
    space = _PRIMARIES.get(primaries) if transfer in _USUAL_TRANSFERS else None
    return None if space is None else profile_of(space)


def _of_png(info: dict[Any, Any], is_grey: bool) -> bytes | None:
    """A profile of the chunks cHRM and gAMA (PNG, third edition, 11.3.2.1 and 2), if it has any."""
    numbers, gamma = None if is_grey else info.get("chromaticity"), info.get("gamma")
    if gamma is None:  # primaries alone say nothing, and viewers ignore them
        return None
    is_usual = _GAMMA_OF_SRGB[0] <= gamma <= _GAMMA_OF_SRGB[1]
    if not 0.1 <= gamma <= 1.1 or (is_usual and not numbers):
        return None
    if is_grey:
        return grey_profile_of(1.0 / gamma)
    points = [*zip(numbers[::2], numbers[1::2], strict=True)] if numbers else []
    try:
        return profile_of(ColourSpace(
            *(points[1:] or (SRGB.red, SRGB.green, SRGB.blue)),
            white=points[0] if points else D65,
            gamma=None if is_usual else 1.0 / gamma,
        ))  # fmt: skip
    except (TypeError, ValueError):
        return None
