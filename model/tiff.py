"""TIFF where Pillow is laxer or stricter than other readers: pages, deep samples, early ends.

Source: Adobe, "TIFF Revision 6.0"; Adobe, "Digital Negative (DNG) Specification" 1.7.
"""

import io
import threading
from typing import Any

from PIL import Image, TiffImagePlugin

from model import jpeg
from model.errors import DecodeError

_SUBFILE, _BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 254, 258, 259, 262, 266
_STRIP_OFFSETS, _STRIP_BYTES, _PLANES, _COLOUR_MAP = 273, 279, 284, 320
_TILE_OFFSETS, _TILE_BYTES, _SUB_DIRECTORIES, _SAMPLE_FORMAT = 324, 325, 330, 339
_MAX_SAMPLE_VALUE, _JPEG_TABLES, _DNG_VERSION = 281, 347, 50706
_WHITE_IS_ZERO, _SEPARATE, _SIGNED = 0, 2, 2
_REDUCED = 1  # bit of _SUBFILE: a smaller version of another page
_MAX_PAGES = 16  # looked at for one that is not reduced
# Compressions that Pillow's libtiff has no codec for: CCITT RLE, NeXT, ThunderScan, JBIG, LogLuv,
# JPEG 2000, LERC, PNG, JPEG XR, WebP, JPEG XL.
_UNREAD_COMPRESSIONS = frozenset([
    2, 32766, 32771, 32809, 34661, 34676, 34677, 34712, 33003, 33005, 34887, 34933, 34934, 50001,
    50002, 52546,
])  # fmt: skip
_reading = threading.Lock()  # `READ_LIBTIFF` is Pillow's, for the whole process


def opened(data: bytes) -> Image.Image:
    """The first page that is not a smaller version of another; of several such the first.

    Without its XMP, by whose orientation Pillow would turn the pixels and not their size.

    Raises:
        DecodeError: a raw image of a camera, of which only thumbnails could be shown.
        OSError: as `Image.open`.
    """
    image = _page(data)
    image.info.pop("xmp", None)
    return image


def _page(data: bytes) -> Image.Image:
    image = _open(data)
    tags = _tags(image)
    if tags.get(_DNG_VERSION):
        raise DecodeError("unsupported", "it is a DNG raw image, which no decoder here reads")
    try:
        for page in range(1, _MAX_PAGES + 1):
            if not _is_reduced(image):
                return _with_separate_planes(image, data)
            image.seek(page)
    except Exception:  # there is no such page, or it is damaged
        pass
    if tags.get(_SUB_DIRECTORIES):
        text = "it is a raw image of a camera, whose pages are thumbnails"
        raise DecodeError("unsupported", text)
    return _open(data)


def check_samples(image: Image.Image) -> None:
    """Refuse signed samples, of which Pillow takes those of 8 bits for unsigned ones.

    Raises:
        DecodeError: they are signed.
    """
    if _SIGNED in _numbers(_tags(image).get(_SAMPLE_FORMAT, ())):
        raise DecodeError("unsupported", "signed samples have no known white level")


def declared_bits(image: Image.Image) -> int | None:
    """Bits of a deep grey sample: by MaxSampleValue, else by BitsPerSample.

    Raises:
        DecodeError: the samples are signed, or integers of 32 bits.
    """
    if image.mode == "I":
        text = "signed and 32-bit integer samples have no known white level"
        raise DecodeError("unsupported", text)
    tags = _tags(image)
    white = _numbers(tags.get(_MAX_SAMPLE_VALUE, ()))
    if white and white[0]:
        return int(white[0]).bit_length()
    return (_numbers(tags.get(_BITS_PER_SAMPLE, ())) or (16,))[0]


def is_white_zero(image: Image.Image) -> bool:
    """Whether 0 is white; Pillow turns samples of 8 bits over and leaves those of 16."""
    return image.mode.startswith("I;16") and _tags(image).get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def repair_palette(image: Image.Image) -> None:
    """Take a colour map of 16 bits that holds only values of 8 for what it is, as libtiff does."""
    colours = _numbers(_tags(image).get(_COLOUR_MAP, ()))
    if image.mode == "P" and colours and len(colours) % 3 == 0 and max(colours) < 256:
        size = len(colours) // 3
        image.putpalette([colours[k + c * size] for k in range(size) for c in range(3)])


def unread(data: bytes) -> DecodeError | None:
    """Why a TIFF whose directory is sound is not decoded; None where it is damaged."""
    tags = _directory(data)
    bits, photometric = _numbers(tags.get(_BITS_PER_SAMPLE, 1)), tags.get(_PHOTOMETRIC)
    if photometric is None or not bits or not (tags.get(_STRIP_OFFSETS) or tags.get(_TILE_OFFSETS)):
        return None
    samples = (*_numbers(tags.get(_SAMPLE_FORMAT, 1)), 1)[0]
    kind = {2: "signed", 3: "float"}.get(samples, "unsigned")
    text = f"it is a TIFF of {len(bits)} x {bits[0]}-bit {kind} samples (photometric {photometric})"
    return DecodeError("unsupported", f"{text}, which no decoder here reads")


def unread_compression(data: bytes) -> DecodeError | None:
    """Why a TIFF of a compression that no decoder here knows is not decoded; None for others."""
    compression = _directory(data).get(_COMPRESSION, 1)
    if compression not in _UNREAD_COMPRESSIONS:
        return None
    text = f"it is a TIFF of compression {compression}, which no decoder here reads"
    return DecodeError("unsupported", text)


def is_truncated(data: bytes) -> bool:
    """Whether a TIFF that was not decoded ends before its directory, a strip or a tile does."""
    order, is_big = "little" if data[:2] == b"II" else "big", b"+" in data[2:4]
    size, entry = (8, 20) if is_big else (2, 12)
    start = int.from_bytes(data[8:16] if is_big else data[4:8], order)
    entries = int.from_bytes(data[start : start + size], order)
    if start + size + entries * entry > len(data):
        return True
    return any(not size or at + size > len(data) for at, size in _strips(_directory(data)))


def ends_early(data: bytes, image: Image.Image) -> bool:
    """Whether the last strip of a TIFF that has been decoded, if JPEG or fax, ends early.

    Args:
        data: the file.
        image: what became of it, loaded.
    """
    tags, compression = _tags(image), image.info.get("compression")
    strips = _strips(tags)
    if not strips or compression not in ("jpeg", "group4"):
        return False
    offset, size = strips[-1]
    strip = data[offset : offset + size]
    if compression == "group4":  # ITU-T T.6: the end of an image is two codes of 12 bits
        tail = strip[-8:]
        if tags.get(_FILL_ORDER) == 2:
            tail = bytes(int(f"{byte:08b}"[::-1], 2) for byte in tail)
        return not any(int.from_bytes(tail) >> k & 0xFFFFFF == 0x001001 for k in range(41))
    tables: bytes = tags.get(_JPEG_TABLES) or b""
    return jpeg.lacks_blocks(tables[:-2] + strip[2:] if tables else strip)


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=("TIFF",))


def _tags(image: Image.Image) -> Any:
    return getattr(image, "tag_v2", {})


def _directory(data: bytes) -> Any:
    """The tags of the first page; an empty mapping where they cannot be read."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if b"+" in data[2:4] else 8])
        source = io.BytesIO(data)
        source.seek(tags.next)
        tags.load(source)
        return dict(tags)
    except Exception:  # Pillow raises nearly anything on damaged files
        return {}


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _is_reduced(image: Image.Image) -> bool:
    return bool(_numbers(_tags(image).get(_SUBFILE, 0))[0] & _REDUCED)


def _strips(tags: Any) -> list[tuple[int, int]]:
    """(position, bytes) of each strip or tile."""
    offsets = tags.get(_STRIP_OFFSETS) or tags.get(_TILE_OFFSETS) or ()
    sizes = tags.get(_STRIP_BYTES) or tags.get(_TILE_BYTES) or ()
    return list(zip(_numbers(offsets), _numbers(sizes), strict=False))


def _with_separate_planes(image: Image.Image, data: bytes) -> Image.Image:
    """The same page; by libtiff where samples of 16 bits lie in planes, which Pillow garbles."""
    tags = _tags(image)
    deep = max(_numbers(tags.get(_BITS_PER_SAMPLE, (1,))), default=1) > 8
    if tags.get(_PLANES) != _SEPARATE or not deep or image.info.get("compression") != "raw":
        return image
    with _reading:
        TiffImagePlugin.READ_LIBTIFF = True
        try:
            again = _open(data)
            again.seek(image.tell())
        finally:
            TiffImagePlugin.READ_LIBTIFF = False
    return again
