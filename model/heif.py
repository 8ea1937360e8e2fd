"""HEIC, which telephones write: known by its brands, read by the package pi-heif where it is there.

pi-heif (BSD) brings libheif and libde265 (LGPL) as shared libraries of its own wheel; nothing of
them is in this repository, and without the package a HEIC is an `unsupported` row.
"""

import importlib
import io
import struct
from collections.abc import Iterator
from typing import Any

from PIL import Image

from model.errors import DecodeError
from model.formats import is_avif, is_hevc

FORMAT = "HEIF"  # as pi-heif calls it
_MOST_HEADER_BYTES = 1 << 16  # where properties lie; a 48-megapixel HEIC has 10 kB of them


def is_heic(data: bytes) -> bool:
    """Whether the bytes begin like a HEIF of HEVC pictures."""
    return is_hevc(data) and not is_avif(data)


def opened(data: bytes) -> Image.Image:
    """The picture, its header read and its pixels not yet, in this process and in one thread.

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
    # Workers are one a core already; what hangs beside the picture is never asked for.
    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    if is_cut_short(data):
        raise DecodeError("truncated", "it is HEIC whose last box is longer than the file")
    return package.HeifImageFile(io.BytesIO(data))


def is_cut_short(data: bytes) -> bool:
    """Whether a box that a picture needs ends behind the file (ISO 14496-12, 4.2)."""
    return any(
        name in (b"ftyp", b"meta", b"mdat") and end > len(data) for name, end in _boxes(data)
    )


def _boxes(data: bytes) -> Iterator[tuple[bytes, int]]:
    """(type, place of the end) of each box of the file."""
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size == 1 and at + 16 <= len(data):  # 64 bits
            (size,) = struct.unpack_from(">Q", data, at + 8)
        if size < 8:  # 0: up to the end of the file; else damaged
            return
        yield name, at + size
        at += size


def code_points(data: bytes) -> tuple[int, int] | None:
    """(primaries, transfer) by ISO 23091-2 of the first picture of a HEIF or AVIF that has any."""
    at = data.find(b"colrnclx", 0, _MOST_HEADER_BYTES)
    return struct.unpack_from(">HH", data, at + 8) if 0 <= at <= len(data) - 12 else None
