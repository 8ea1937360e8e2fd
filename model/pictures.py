"""From the bytes of an image file to an upright image of 8-bit samples, grey or RGB.

What is an image, which formats are read and what each damaged file is called. Never imports
TensorFlow: a decode worker that loads it costs 500 MB.
"""

import dataclasses
import io
import re
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from model import colours, formats, heif, jpeg, png, tiff
from model.errors import DecodeError

# Raised whenever the same bytes could give other samples; a bundle keeps its own. 2: the scale of
# deep grey samples is what the file declares, else the range of their type; embedded colour
# profiles count, which were ignored (docs/benchmarks/profiles.md). 3: TIFF of deep samples whose 0
# is white, or which lie in planes, or behind a thumbnail; gamma and profiles of grey images;
# around the first frame of a GIF there is nothing; an orientation in XMP alone turns nothing; the
# fourth byte of a BMP is no alpha where it is 0 throughout.
PREPROCESSING_VERSION = 3
# By Pillow; HEIC is read by model/heif.py. MPO comes with JPEG; Pillow registers no opener for it,
# and asking for one is a KeyError.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
MAX_PIXELS = 89_000_000  # decoded; just under Pillow's own warning; of RGB they are 267 MB
MIN_SIDE_PX = 8
DECODE_REASONS = (
    "empty", "not_an_image", "unsupported", "truncated", "corrupt", "too_large", "too_small",
    "out_of_memory",
)  # fmt: skip

_EXIF_ORIENTATION, _XMP_KEYS = 0x0112, ("xmp", "XML:com.adobe.xmp")
_TURNS = {  # EXIF orientation -> what makes the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height

MinSize = Callable[[int, int], tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels: upright, uint8 (height, width, 3) of RGB or (height, width) of grey; maybe smaller
            than the file's image.
        width: of the file's image, upright, in pixels.
        height: likewise.
    """

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int

    @property
    def image(self) -> Image.Image:
        """`pixels` as Pillow's image, of mode RGB or L."""
        return Image.fromarray(self.pixels)

    @property
    def scale(self) -> float:
        """Pixels of `pixels` for one of the file's image: 1 or 1/2, 1/3 and so on.

        Not the ratio of the widths: the last column may stand for a part of a pixel.
        """
        return 1 / round(self.width / self.pixels.shape[1])


def decode_picture(
    data: bytes, color: Literal["grey", "rgb"], version: int, min_size: MinSize
) -> Picture:
    """Decode, turn upright, flatten and convert to grey or RGB.

    Grey is ITU-R 601 luma as Pillow's mode L; alpha is flattened on white; samples of more than 8
    bits are scaled by the bits that the file declares, else by 16; of an animation the first frame
    counts. Colours are sRGB's, by the file's colour profile if it has a sound one.

    Args:
        data: the whole file.
        color: of the result.
        version: `PREPROCESSING_VERSION`, or an earlier one.
        min_size: (width, height) of the file's image -> the size that the decoded one must
            have at least; a JPEG is decoded at the smallest scale of 1, 1/2, 1/4 and 1/8 that
            keeps it, other formats as they are unless their colours are converted.

    Raises:
        DecodeError: the bytes are no image of `FORMATS` and no HEIC; `.reason` is in
            `DECODE_REASONS`.
    """
    if not data:
        raise DecodeError("empty", "the file has no bytes")
    plain = _plain(data, color, min_size)
    if plain is not None:
        return plain
    try:
        return _decode(data, color, version, min_size)
    except DecodeError as error:  # maybe of less than its pixels, which viewers show
        repaired = None
        if error.reason == "truncated":
            repaired = jpeg.with_end(data)
        elif error.reason in ("not_an_image", "corrupt") and data.startswith(png.SIGNATURE):
            repaired = png.repaired(data)
        if repaired is None:
            raise
        return _decode(repaired, color, version, min_size)


def _plain(data: bytes, color: Literal["grey", "rgb"], min_size: MinSize) -> Picture | None:
    """A sound, plain JPEG, with the pixels that `_decode` would give; None for any other file."""
    found = jpeg.header(data)
    if found is None or not found.is_plain or min(found.width, found.height) < MIN_SIDE_PX:
        return None
    least = _least(found.width, found.height, data, min_size)
    decoded = None if least is None else jpeg.plain_pixels(data, found, least)
    if decoded is None:
        return None
    if decoded.ndim != (2 if color == "grey" else 3):
        decoded = np.asarray(_in_color(Image.fromarray(decoded), color))
    return Picture(decoded, found.width, found.height)


def _decode(data: bytes, color: Literal["grey", "rgb"], version: int, min_size: MinSize) -> Picture:
    try:
        with _opened(data, version) as image:
            return _decode_opened(image, data, color, version, min_size)
    except DecodeError:
        raise
    except Image.UnidentifiedImageError:
        raise formats.unidentified(data) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(int(re.findall(r"\d+", str(error))[0])) from None
    except MemoryError:
        raise DecodeError("out_of_memory", "there was not enough memory to decode it") from None
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged files
        text = str(error).lower()
        short = "truncat" in text or "not enough image data" in text or formats.is_truncated(data)
        reason = "truncated" if short else "corrupt"
        if text.startswith("unsupported"):  # libheif's words, and those of Pillow's BMP
            reason = "unsupported"
        if reason == "corrupt" and (known := formats.known(data)) is not None:
            raise known from None
        what = "the file ends before its image does" if short else type(error).__name__
        raise DecodeError(reason, f"{what}: {error}"[:300]) from None


def _opened(data: bytes, version: int) -> Image.Image:
    if heif.is_heic(data):
        return heif.opened(data)
    if version >= 3 and formats.own_format(data) == "TIFF":
        return tiff.opened(data)
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.opened(data)
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _least(width: int, height: int, data: bytes, min_size: MinSize) -> tuple[int, int] | None:
    """What `min_size` says, or less where only a JPEG's smaller scale fits; None where none does.

    Of a JPEG of several scans decoders hold all coefficients, whatever the scale.
    """
    least = min_size(width, height)
    if width * height <= MAX_PIXELS:
        return least
    head = jpeg.header(data)
    if head is None or not head.is_sequential:
        return None
    scale = next(s for s in jpeg.SCALES if width * height <= MAX_PIXELS * s * s)
    return min(least[0], width // scale), min(least[1], height // scale)


def _too_large(pixels: int) -> DecodeError:
    text = f"{pixels:,} pixels are more than the limit of {MAX_PIXELS:,}; only a "
    return DecodeError("too_large", text + "JPEG of one scan can be decoded at a smaller scale")


def _decode_opened(
    image: Image.Image, data: bytes, color: Literal["grey", "rgb"], version: int, min_size: MinSize
) -> Picture:
    """The part of `decode_picture` after the header is known to be good."""
    width, height = image.size
    if min(width, height) < MIN_SIDE_PX:
        raise DecodeError("too_small", f"{width}x{height}: a side is under {MIN_SIDE_PX} pixels")
    least = _least(width, height, data, min_size)
    if least is None:
        raise _too_large(width * height)
    image.draft(None, least)  # a no-op on anything but a JPEG of at least twice that size
    tiles: Any = getattr(image, "tile", ())
    box = tiles[0][1] if image.format == "GIF" and version >= 3 and tiles else None
    image.load()  # here, where what is wrong with the pixels is not taken for a damaged EXIF
    if image.format == heif.FORMAT:
        width, height = image.size  # the pixels' own, where the header says another
    _check_end(image, data)
    if version >= 3:
        if image.format == "TIFF":
            tiff.check_samples(image)
            tiff.repair_palette(image)
        if image.format == "BMP" and image.mode == "RGBA" and not image.getchannel("A").getbbox():
            image = image.convert("RGB")  # Windows leaves that byte empty, and viewers ignore it
    if box is not None and box != (0, 0, width, height):
        image = _only(image, box)
    orientation = _orientation(image, version)
    profile = colours.embedded(image, data, version) if version >= 2 else None
    image = _flatten(image, version, data)
    if orientation in _TURNS:  # from here on `image.format` is None
        image = image.transpose(_TURNS[orientation])
    if orientation in _SIDEWAYS:
        width, height, least = height, width, (least[1], least[0])
    if profile is not None:
        image = colours.in_srgb(image, profile, least, version)
    return Picture(np.asarray(_in_color(image, color)), width, height)


def _in_color(image: Image.Image, color: Literal["grey", "rgb"]) -> Image.Image:
    mode = "L" if color == "grey" else "RGB"
    return image if image.mode == mode else image.convert(mode)  # to the same mode it is a copy


def _check_end(image: Image.Image, data: bytes) -> None:
    """Refuse half an image, whose other half decoders leave grey, black or noise."""
    pixels, missing = image.width * image.height, None
    if image.format in ("WEBP", "AVIF", heif.FORMAT) and formats.ends_in_zeros(data, pixels):
        missing = "it ends in zeros"
    elif image.format in ("JPEG", "MPO") and jpeg.is_truncated(data, image):
        missing = "its end marker comes before its last block"
    elif image.format == "TIFF" and tiff.ends_early(data, image):
        missing = "its last strip ends before its last row"
    elif image.format == "PNG" and _may_be_truncated(image) and png.is_truncated(data):
        missing = "its compressed stream ends before the last row"
    if missing is not None:
        raise DecodeError("truncated", missing)


def _only(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """The frame of a GIF, and nothing around it, where Pillow shows its background colour."""
    canvas = Image.new("RGBA", image.size)
    canvas.paste(image.convert("RGBA").crop(box), box)
    return canvas


def _orientation(image: Image.Image, version: int) -> int:
    """The EXIF orientation; 1 (upright) where the EXIF is damaged, as the image may be good."""
    if image.format == heif.FORMAT:
        return 1  # libheif has turned it by irot and imir, and EXIF counts for nothing there
    bare = image
    if (
        version >= 3
    ):  # Pillow takes one from XMP, which browsers ignore; it has turned a TIFF itself
        bare = Image.Image()
        bare.info = {key: value for key, value in image.info.items() if key not in _XMP_KEYS}
    try:
        return bare.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # the EXIF reader raises nearly anything
        return 1


def _may_be_truncated(image: Image.Image) -> bool:
    """Whether the last row is empty, as where a stream ended early; if interlaced, always."""
    last = image.crop((0, image.height - 1, image.width, image.height))
    return bool(image.info.get("interlace")) or last.getbbox(alpha_only=False) is None


def _in_eight_bits(image: Image.Image, version: int, data: bytes) -> Image.Image:
    """Samples of more than 8 bits scaled to 0-255 by the bits that the file declares, else 16.

    Raises:
        DecodeError: as `tiff.declared_bits`.
    """
    samples = np.asarray(image)
    if version < 2:  # by what is in the image: a dark one is read as 8-bit
        if samples.max(initial=0) > 255:
            samples = samples >> 8
        return Image.fromarray(samples.clip(0, 255).astype(np.uint8))
    declared: int | None = None
    if image.format == "PNG":
        declared = (png.chunk_of(data, b"sBIT") or b"\0")[0]
    elif image.format == "TIFF":
        declared = tiff.declared_bits(image)
    bits = declared if declared and 8 < declared <= 16 else 16
    # Left-justified samples leave the spare bits empty: their range is that of the type.
    if samples.max(initial=0) >= 1 << bits or not (samples & ((1 << (16 - bits)) - 1)).any():
        bits = 16
    levels = (samples.clip(0, (1 << bits) - 1) >> (bits - 8)).astype(np.uint8)
    is_inverted = version >= 3 and image.format == "TIFF" and tiff.is_white_zero(image)
    return Image.fromarray(255 - levels if is_inverted else levels)


def _flatten(image: Image.Image, version: int, data: bytes) -> Image.Image:
    """Reduce deep grey samples to 8 bits and alpha to white background."""
    if image.mode.startswith("I"):
        return _in_eight_bits(image, version, data)
    if image.mode == "F":
        raise DecodeError("unsupported", "32-bit float samples have no known white level")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba)
    return image
