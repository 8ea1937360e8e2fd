"""Files that end before their picture does, where Pillow shows the rest grey or gives no reason.

PNG has a file of its own (model/png.py).
"""

import io
import struct
import zlib
from typing import Any

from PIL import Image

from model import heif
from model.formats import is_avif

_STARTS = (
    (b"GIF87a", "GIF"), (b"GIF89a", "GIF"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"), (b"\x89PNG\r\n\x1a\n", "PNG"),
)  # fmt: skip
_BITS_PER_SAMPLE, _FILL_ORDER, _JPEG_TABLES = 258, 266, 347  # tags of TIFF 6.0
_STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES = 273, 279, 324, 325
_GREY = range(126, 131)  # what libjpeg shows of blocks that were never written, after all rounding
# More entropy-coded bytes with all restart markers between them: a decoder that has its picture
# skips them, and one that lacks blocks makes some of them.
_MORE = b"".join(b"\x35\xa9\x6e\x1c" * 8 + bytes([0xFF, 0xD0 + n]) for n in range(8))


def own_format(data: bytes) -> str | None:
    """Which of the formats that Pillow reads here the bytes begin like."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if is_avif(data):
        return "AVIF"
    return next((name for start, name in _STARTS if data.startswith(start)), None)


def is_cut_short(data: bytes) -> bool:
    """Whether a WebP, AVIF, TIFF or GIF that could not be read lacks its end.

    Sources: WebP Container Specification ("RIFF file format"); ISO 14496-12, 4.2; TIFF 6.0,
    section 2; GIF89a, section 18 ff.
    """
    name = own_format(data)
    if name == "WebP":
        return len(data) < 16 or _riff_end(data) > len(data) or _lacks_bits(data)
    if name == "AVIF":
        return heif.is_cut_short(data)
    if name == "TIFF":
        return _directory_end(data) > len(data) or _lacks_strips(data)
    return name == "GIF" and not data.rstrip(b"\0").endswith(b";")


def _riff_end(data: bytes) -> int:
    """Where the file says that it ends."""
    (size,) = struct.unpack_from("<I", data, 4)
    return size + 8


def _lacks_bits(data: bytes) -> bool:
    """Whether a WebP of one chunk can be decoded once zeros are put after its stream."""
    if data[12:16] not in (b"VP8 ", b"VP8L"):
        return False
    (size,) = struct.unpack_from("<I", data, 16)
    stream = data[20 : 20 + size] + bytes(size + 1024 - size % 2)
    chunk = data[12:16] + struct.pack("<I", len(stream)) + stream
    whole = b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk
    try:
        with Image.open(io.BytesIO(whole), formats=("WEBP",)) as image:
            if not _fits(image):
                return False
            image.load()
    except Exception:  # damaged, and not only short
        return False
    return True


def _fits(image: Image.Image) -> bool:
    return image.width * image.height <= (Image.MAX_IMAGE_PIXELS or 0)


def _directory_end(data: bytes) -> int:
    """Where the first directory of a TIFF, or of a BigTIFF, ends."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = b"+" in data[2:4]
    place, count, entry, link = (8, "Q", 20, 8) if is_big else (4, "H", 12, 4)
    try:
        (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, place)
        (entries,) = struct.unpack_from(order + count, data, start)
    except struct.error:
        return len(data) + 1
    return start + struct.calcsize(order + count) + entries * entry + link


def _lacks_strips(data: bytes) -> bool:
    """Whether a strip or tile of a TIFF ends behind the file, was never written or is too short."""
    try:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
            strips = _strips(image)
            deflated = image.info.get("compression") in ("tiff_adobe_deflate", "tiff_deflate")
            if any(not size or offset + size > len(data) for offset, size in strips):
                return True
            return deflated and _fits(image) and _ends_early(image, data, strips)
    except Exception:  # Pillow raises nearly anything on damaged files
        return False


def _strips(image: Image.Image) -> list[tuple[int, int]]:
    """(place, bytes) of each strip or tile of an opened TIFF."""
    tags: Any = getattr(image, "tag_v2", {})
    offsets = tags.get(_STRIP_OFFSETS) or tags.get(_TILE_OFFSETS) or ()
    sizes = tags.get(_STRIP_BYTES) or tags.get(_TILE_BYTES) or ()
    return list(zip(offsets, sizes, strict=False))


def _ends_early(image: Image.Image, data: bytes, strips: list[tuple[int, int]]) -> bool:
    """Whether deflated strips hold, soundly, less than the picture has."""
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(_TILE_OFFSETS):
        return False
    bits = sum(tags.get(_BITS_PER_SAMPLE, (1,)))
    wanted = image.height * ((image.width * bits + 7) // 8)
    total = 0
    for offset, size in strips:
        total += len(zlib.decompressobj().decompress(data[offset : offset + size], wanted))
    return total < wanted


def tiff_is_cut_short(data: bytes, image: Image.Image) -> bool:
    """Whether the last strip of a TIFF that has been decoded, if JPEG or fax, ends early.

    Args:
        data: the file.
        image: what became of it, loaded.
    """
    compression, strips = image.info.get("compression"), _strips(image)
    if not strips or compression not in ("jpeg", "group4"):
        return False
    offset, size = strips[-1]
    strip = data[offset : offset + size]
    tags: Any = getattr(image, "tag_v2", {})
    if compression == "group4":  # ITU-T T.6: the end of a picture is two codes of 12 bits
        if tags.get(_FILL_ORDER) == 2:
            strip = bytes(int(f"{byte:08b}"[::-1], 2) for byte in strip[-8:])
        tail = int.from_bytes(strip[-8:], "big")
        return not any(tail >> shift & 0xFFFFFF == 0x001001 for shift in range(41))
    tables: bytes = tags.get(_JPEG_TABLES) or b""
    stream = tables[:-2] + strip[2:] if tables else strip
    try:
        with Image.open(io.BytesIO(stream), formats=("JPEG",)) as last:
            last.load()
            return jpeg_is_cut_short(stream, last, last.size)
    except OSError:  # it has no end at all
        return True


def jpeg_is_cut_short(data: bytes, image: Image.Image, least: tuple[int, int]) -> bool:
    """Whether a JPEG that has been decoded ends, by an end marker, before its last block.

    libjpeg only warns of it, and the missing blocks are grey. So is the last pixel then; only
    where it is, the picture is decoded once more with more bytes before its end marker.

    Args:
        data: the file.
        image: what became of it, loaded.
        least: what `Image.draft` was given.
    """
    corner = image.getpixel((image.width - 1, image.height - 1))
    if not all(value in _GREY for value in (corner if isinstance(corner, tuple) else (corner,))):
        return False
    end = _end_marker(data)
    if end is None:
        return False
    with Image.open(io.BytesIO(data[:end] + _MORE + data[end:]), formats=("JPEG",)) as longer:
        longer.draft(None, least)
        return longer.tobytes() != image.tobytes()


def _end_marker(data: bytes) -> int | None:
    """Where the end marker of the first picture is: behind its scans, in no segment."""
    at = 2
    while 0 <= at < len(data) - 1:
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xD7:
            at = data.find(b"\xff", at + 1)  # in a scan
        elif marker == 0xD9:
            return at
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
