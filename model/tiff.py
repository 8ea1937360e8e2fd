"""TIFF where Pillow is laxer or stricter than other readers: pages, deep samples, early ends.

Source: Adobe, "TIFF Revision 6.0"; Adobe, "Digital Negative (DNG) Specification" 1.7.
"""

import io
import struct
import threading
import zlib
from typing import Any

from PIL import Image, TiffImagePlugin

from model import jpeg
from model.errors import DecodeError

_SUBFILE, _BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 254, 258, 259, 262, 266
_STRIP_OFFSETS, _STRIP_BYTES, _PLANES, _COLOUR_MAP = 273, 279, 284, 320
_TILE_OFFSETS, _TILE_BYTES, _SUB_DIRECTORIES, _SAMPLE_FORMAT = 324, 325, 330, 339
_MAX_SAMPLE_VALUE, _JPEG_TABLES, _DNG_VERSION = 281, 347, 50706
_WHITE_IS_ZERO, _SEPARATE, _UNSIGNED, _SIGNED, _FLOAT = 0, 2, 1, 2, 3
_REDUCED = 1  # bit of _SUBFILE: a smaller version of another page
_MOST_PAGES = 16  # looked at for one that is not reduced
_FORMATS = {_UNSIGNED: "unsigned", _SIGNED: "signed", _FLOAT: "float"}
# Pillow's libtiff has no codec for these.
_STRANGE = {
    2: "CCITT RLE", 32766: "NeXT", 32771: "CCITT RLE/W", 32809: "ThunderScan", 34661: "JBIG",
    34676: "SGI LogLuv", 34677: "SGI LogLuv", 34712: "JPEG 2000", 33003: "JPEG 2000",
    33005: "JPEG 2000", 34887: "LERC", 34933: "PNG", 34934: "JPEG XR", 50001: "WebP",
    50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_UNREAD = "which no decoder here reads"
_reading = threading.Lock()  # `READ_LIBTIFF` is Pillow's, for the whole process


def opened(data: bytes) -> Image.Image:
    """The first page that is not a smaller version of another; of several such the first.

    Raises:
        DecodeError: a raw picture of a camera, of which only thumbnails could be shown.
        OSError: as `Image.open`.
    """
    image = Image.open(io.BytesIO(data), formats=("TIFF",))
    tags = _tags(image)
    if tags.get(_DNG_VERSION):
        raise DecodeError("unsupported", f"it is a DNG raw picture, {_UNREAD}")
    if not _is_reduced(image):
        return _with_separate_planes(image, data)
    try:
        for page in range(1, _MOST_PAGES):
            image.seek(page)
            if not _is_reduced(image):
                return _with_separate_planes(image, data)
    except Exception:  # there is no such page, or it is damaged
        pass
    if tags.get(_SUB_DIRECTORIES):
        text = "it is a raw picture of a camera, whose pages are thumbnails"
        raise DecodeError("unsupported", text)
    return Image.open(io.BytesIO(data), formats=("TIFF",))


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
    most = _numbers(tags.get(_MAX_SAMPLE_VALUE, ()))
    if most and most[0]:
        return int(most[0]).bit_length()
    return (_numbers(tags.get(_BITS_PER_SAMPLE, ())) or (16,))[0]


def is_white_zero(image: Image.Image) -> bool:
    """Whether 0 is white; Pillow turns samples of 8 bits over and leaves those of 16."""
    return image.mode.startswith("I;16") and _tags(image).get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def mend_palette(image: Image.Image) -> None:
    """Take a colour map of 16 bits that holds only values of 8 for what it is, as libtiff does."""
    colours = _numbers(_tags(image).get(_COLOUR_MAP, ()))
    if image.mode == "P" and colours and len(colours) % 3 == 0 and max(colours) < 256:
        size = len(colours) // 3
        image.putpalette([colours[k + c * size] for k in range(size) for c in range(3)])


def unread(data: bytes) -> DecodeError | None:
    """Why a TIFF whose directory is sound is not read; None where it is damaged."""
    tags = _directory(data)
    bits = _numbers(tags.get(_BITS_PER_SAMPLE, 1))
    photometric = tags.get(_PHOTOMETRIC)
    if photometric is None or not bits or not (tags.get(_STRIP_OFFSETS) or tags.get(_TILE_OFFSETS)):
        return None
    kind = _FORMATS.get((_numbers(tags.get(_SAMPLE_FORMAT, ())) or (_UNSIGNED,))[0], "other")
    text = f"it is a TIFF of {len(bits)} x {bits[0]}-bit {kind} samples (photometric {photometric})"
    return strange_compression(data) or DecodeError("unsupported", f"{text}, {_UNREAD}")


def strange_compression(data: bytes) -> DecodeError | None:
    """What a TIFF is compressed by, if no decoder here knows it."""
    name = _STRANGE.get(_directory(data).get(_COMPRESSION, 1))
    if name is None:
        return None
    return DecodeError("unsupported", f"it is a TIFF that is compressed by {name}, {_UNREAD}")


def _directory(data: bytes) -> Any:
    """The tags of the first page; an empty mapping where they cannot be read."""
    try:
        head = data[: 16 if b"+" in data[2:4] else 8]  # BigTIFF has a longer one
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        source = io.BytesIO(data)
        source.seek(tags.next)
        tags.load(source)
        return dict(tags)
    except Exception:  # Pillow raises nearly anything on damaged files
        return {}


def lacks_its_end(data: bytes) -> bool:
    """Whether a TIFF that could not be read ends before its directory, a strip or a tile does."""
    return _directory_end(data) > len(data) or _lacks_strips(data)


def is_cut_short(data: bytes, image: Image.Image) -> bool:
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
    tags = _tags(image)
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
            return jpeg.is_cut_short(stream, last, last.size)
    except OSError:  # it has no end at all
        return True


def _tags(image: Image.Image) -> Any:
    return getattr(image, "tag_v2", {})


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _is_reduced(image: Image.Image) -> bool:
    return bool(_numbers(_tags(image).get(_SUBFILE, 0))[0] & _REDUCED)


def _with_separate_planes(image: Image.Image, data: bytes) -> Image.Image:
    """The same page; by libtiff where samples of 16 bits lie in planes, which Pillow garbles."""
    tags = _tags(image)
    deep = max(_numbers(tags.get(_BITS_PER_SAMPLE, (1,))), default=1) > 8
    if tags.get(_PLANES) != _SEPARATE or not deep or image.info.get("compression") != "raw":
        return image
    with _reading:
        TiffImagePlugin.READ_LIBTIFF = True
        try:
            again = Image.open(io.BytesIO(data), formats=("TIFF",))
            again.seek(image.tell())
        finally:
            TiffImagePlugin.READ_LIBTIFF = False
    return again


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
            fits = image.width * image.height <= (Image.MAX_IMAGE_PIXELS or 0)
            return deflated and fits and _ends_early(image, data, strips)
    except Exception:  # Pillow raises nearly anything on damaged files
        return False


def _strips(image: Image.Image) -> list[tuple[int, int]]:
    """(place, bytes) of each strip or tile of an opened TIFF."""
    tags = _tags(image)
    offsets = tags.get(_STRIP_OFFSETS) or tags.get(_TILE_OFFSETS) or ()
    sizes = tags.get(_STRIP_BYTES) or tags.get(_TILE_BYTES) or ()
    return list(zip(offsets, sizes, strict=False))


def _ends_early(image: Image.Image, data: bytes, strips: list[tuple[int, int]]) -> bool:
    """Whether deflated strips hold, soundly, less than the picture has."""
    tags = _tags(image)
    if tags.get(_TILE_OFFSETS):
        return False
    bits = sum(tags.get(_BITS_PER_SAMPLE, (1,)))
    wanted = image.height * ((image.width * bits + 7) // 8)
    total = 0
    for offset, size in strips:
        total += len(zlib.decompressobj().decompress(data[offset : offset + size], wanted))
    return total < wanted
