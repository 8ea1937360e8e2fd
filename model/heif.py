"""HEIC, which telephones write: known by its brands, read by the package pi-heif where it is there.

pi-heif (BSD) brings libheif and libde265 (LGPL) as shared libraries of its own wheel; nothing of
them is in this repository, and without the package a HEIC is an `unsupported` row.
"""

import importlib
import io
import struct
from typing import Any

from PIL import Image

from model.errors import DecodeError

FORMAT = "HEIF"  # as pi-heif calls it
_HEVC_BRANDS = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"])
_FILM_BRANDS = (
    b"iso", b"mp4", b"mp7", b"avc1", b"qt", b"M4V", b"M4A", b"3gp", b"3g2", b"das", b"MSN",
)  # fmt: skip
_MAX_BRAND_BYTES = 256
_MAX_HEADER_BYTES = 1 << 16  # where properties lie; a 48-megapixel HEIC has 10 kB of them


def brands(data: bytes) -> list[bytes]:
    """Major and compatible brands of an ISO media file (ISO 14496-12, 4.3); none of others."""
    if data[4:8] != b"ftyp":
        return []
    box = data[: min(int.from_bytes(data[:4], "big"), _MAX_BRAND_BYTES)]
    return [data[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4))]


def is_film(data: bytes) -> bool:
    """Whether the major brand is a film's."""
    return data[4:8] == b"ftyp" and data[8:12].startswith(_FILM_BRANDS)


def still_brands(data: bytes) -> list[bytes]:
    """`brands`; none of a film, which may name a still's among those it is compatible with."""
    return [] if is_film(data) else brands(data)


def is_avif(data: bytes) -> bool:
    """Whether the bytes begin like AVIF, which Pillow decodes."""
    return not {b"avif", b"avis"}.isdisjoint(still_brands(data))


def is_heic(data: bytes) -> bool:
    """Whether the bytes begin like a HEIF of HEVC images."""
    return not _HEVC_BRANDS.isdisjoint(still_brands(data)) and not is_avif(data)


def opened(data: bytes) -> Image.Image:
    """The image, its header read and its pixels not yet, in this process and in one thread.

    Pillow's list of openers stays as it is: no other code of the process reads HEIC by this.

    Raises:
        DecodeError: pi-heif is missing, or the header is damaged.
    """
    try:
        package: Any = importlib.import_module("pi_heif")
    except ImportError:
        text = "it is HEIC, which the package pi-heif reads: `pip install pi-heif`"
        raise DecodeError("unsupported", text) from None
    options = package.options
    # Workers are one a core already; what hangs beside the image is never asked for.
    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    if is_truncated(data):
        raise DecodeError("truncated", "it is HEIC whose last box is longer than the file")
    return package.HeifImageFile(io.BytesIO(data))


def is_truncated(data: bytes) -> bool:
    """Whether a box that an image needs ends behind the file (ISO 14496-12, 4.2)."""
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size == 1 and at + 16 <= len(data):  # 64 bits
            (size,) = struct.unpack_from(">Q", data, at + 8)
        if size < 8:  # 0: up to the end of the file; else damaged
            return False
        at += size
        if at > len(data) and name in (b"ftyp", b"meta", b"mdat"):
            return True
    return False


def code_points(data: bytes) -> tuple[int, ...]:
    """(primaries, transfer) by ISO 23091-2 of the first image of a HEIF or AVIF; () without."""
    at = data.find(b"colrnclx", 0, _MAX_HEADER_BYTES)
    return struct.unpack_from(">HH", data, at + 8) if 0 <= at <= len(data) - 12 else ()
