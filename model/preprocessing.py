"""From the bytes of an image file to the uint8 array that the network takes.

One function for training and scoring, versioned and hashed; its spec is saved in the bundle.
Scaling to [0, 1] is the network's first layer, so only uint8 leaves this module.
Never imports TensorFlow: a decode worker that loads it costs 500 MB.
"""

import dataclasses
import hashlib
import io
import json
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from model.errors import DecodeError

PREPROCESSING_VERSION = 1  # raise it whenever the same bytes could give other pixels
# MPO comes with JPEG; Pillow registers no opener for it, and asking for one is a KeyError.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
MAX_PIXELS = 89_000_000  # just under Pillow's own bomb warning; 89 Mpx of RGB is 267 MB
MIN_SIDE_PX = 8
DECODE_REASONS = (
    "empty", "not_an_image", "unsupported", "truncated", "corrupt", "too_large", "too_small",
    "out_of_memory",
)  # fmt: skip

_EXIF_ORIENTATION = 0x0112
_TURNS = {  # EXIF orientation -> what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Formats that are known and not taken, by the bytes at an offset.
_UNSUPPORTED = (
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"JXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"8BPS", "Photoshop"),
)
_SIDEWAYS = [_TURNS[value] for value in (5, 6, 7, 8)]
_USUAL_OVERSAMPLE = 4
_JPEG_START, _JPEG_FRAMES = b"\xff\xd8", range(0xC0, 0xD0)


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """What the network takes: uint8 of shape (height, width, 1 or 3), range 0-255.

    Attributes:
        height: rows of pixels.
        width: columns of pixels.
        color: grey is ITU-R 601 luma.
        resample: Pillow's filter from the decoded picture to this size.
        version: of the code that makes the pixels.
        jpeg_oversample: a JPEG is decoded at the smallest scale of 1, 1/2, 1/4 and 1/8 that keeps
            so many times the larger side of this size. At 1 most of the shrinking is the JPEG
            decoder's, which is cheaper than a filter over all pixels: docs/benchmarks/decoding.md.
    """

    height: int = 128
    width: int = 128
    color: Literal["grey", "rgb"] = "grey"
    resample: Literal["lanczos", "bilinear"] = "lanczos"
    version: int = PREPROCESSING_VERSION
    jpeg_oversample: int = _USUAL_OVERSAMPLE

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return (self.height, self.width, 1 if self.color == "grey" else 3)

    @property
    def hash(self) -> str:
        """16 hex digits over all that can change a pixel."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Plain data that `InputSpec(**data)` takes back."""
        data = dataclasses.asdict(self)
        if self.jpeg_oversample == _USUAL_OVERSAMPLE:
            del data["jpeg_oversample"]  # left out, so that specs without it keep their hash
        return data


@dataclasses.dataclass(frozen=True)
class DecodedImage:
    """Pixels (uint8, `InputSpec.shape`) and the picture's own upright size in pixels."""

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int


def decode_image(data: bytes, spec: InputSpec) -> DecodedImage:
    """Decode, turn upright, flatten, convert to grey or RGB and resize.

    Grey is ITU-R 601 luma as Pillow's mode L; alpha is flattened on white; 16-bit samples keep
    their high byte; of an animation the first frame counts; colour profiles are ignored. A JPEG
    far larger than the target is decoded at a reduced scale (1/2, 1/4, 1/8), which keeps a
    12-megapixel photo affordable: see `InputSpec.jpeg_oversample`. UTKFace's 200x200 files decode
    whole for the notebook's networks, and at half scale for a 96x96 network that asks for 1x.

    Args:
        data: the whole file.
        spec: the shape and colour to produce.

    Returns:
        A `DecodedImage` with pixels of shape `spec.shape`.

    Raises:
        DecodeError: the bytes are no image of `FORMATS`; `.reason` is in `DECODE_REASONS`.
    """
    if not data:
        raise DecodeError("empty", "the file has no bytes")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _decode_opened(image, spec)
    except DecodeError:
        raise
    except Image.UnidentifiedImageError:
        raise _unidentified(data) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DecodeError("too_large", str(error)) from None
    except MemoryError:
        raise DecodeError("out_of_memory", "there was not enough memory to decode it") from None
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged files
        reason = "truncated" if "truncat" in str(error).lower() else "corrupt"
        raise DecodeError(reason, f"{type(error).__name__}: {error}"[:300]) from None


def _decode_opened(image: Image.Image, spec: InputSpec) -> DecodedImage:
    """The part of `decode_image` after the header is known to be good."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DecodeError("too_large", f"{width}x{height} is over {MAX_PIXELS:,} pixels")
    if min(width, height) < MIN_SIDE_PX:
        raise DecodeError("too_small", f"{width}x{height}: a side is under {MIN_SIDE_PX} pixels")
    side = spec.jpeg_oversample * max(spec.width, spec.height)
    image.draft(None, (side, side))  # a no-op on anything but a JPEG of at least twice that side
    image.load()  # here, where what is wrong with the pixels is not taken for a damaged EXIF
    turn = _TURNS.get(_orientation(image))
    if turn is not None:
        image = image.transpose(turn)
        if turn in _SIDEWAYS:
            width, height = height, width
    image = _flatten(image)
    mode = "L" if spec.color == "grey" else "RGB"
    if image.mode != mode:  # converting to the same mode would be a copy
        image = image.convert(mode)
    if image.size != (spec.width, spec.height):
        image = image.resize((spec.width, spec.height), Image.Resampling[spec.resample.upper()])
    return DecodedImage(np.asarray(image).reshape(spec.shape), width, height)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 (upright) where the EXIF is damaged, as the picture may be good."""
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # the EXIF reader raises nearly anything
        return 1


def _unidentified(data: bytes) -> DecodeError:
    """What to say of bytes that no decoder takes."""
    for offset, start, name in _UNSUPPORTED:
        if data[offset : offset + len(start)] == start:
            return DecodeError("unsupported", f"it is {name}, which no decoder here reads")
    bits = _jpeg_bits(data)
    if bits not in (None, 8):
        return DecodeError("unsupported", f"it is a JPEG of {bits}-bit samples")
    return DecodeError("not_an_image", f"no image format starts with {data[:12].hex(' ')}")


def _jpeg_bits(data: bytes) -> int | None:
    """Bits a sample of a JPEG, from its frame header; None if it has none."""
    at = 2 if data.startswith(_JPEG_START) else len(data)
    while at + 5 <= len(data) and data[at] == 0xFF:
        # C4, C8 and CC are tables, not frames
        if data[at + 1] in _JPEG_FRAMES and data[at + 1] not in (0xC4, 0xC8, 0xCC):
            return data[at + 4]
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _flatten(image: Image.Image) -> Image.Image:
    """Reduce 16-bit samples to their high byte and alpha to white background."""
    if image.mode.startswith("I"):
        samples = np.asarray(image)
        if samples.max(initial=0) > 255:
            samples = samples >> 8
        return Image.fromarray(samples.clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        raise DecodeError("unsupported", "32-bit float samples have no known white level")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba)
    return image
