"""Files that are not read: of which format they are, why not, and whether their end lacks."""

import io
import struct
from collections.abc import Iterator

from PIL import Image

from model import heif, jpeg, png, tiff
from model.errors import DecodeError
from model.formats import is_avif, other_kind, picture_format

_STARTS = (
    (b"GIF87a", "GIF"), (b"GIF89a", "GIF"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"), (png.SIGNATURE, "PNG"), (jpeg.SIGNATURE, "JPEG"),
)  # fmt: skip


_MOST_ZEROS, _PIXELS_A_ZERO = 64, 2000
_MOST_HEADER_BYTES = 1 << 16


def known(data: bytes) -> DecodeError | None:
    """Why a file that began well is not read, where that is its kind and no damage."""
    own = own_format(data)
    # those two name HEIF among their brands
    name = None if own == "AVIF" or heif.is_heic(data) else picture_format(data)
    if name is not None:
        return DecodeError("unsupported", f"it is {name}, which no decoder here reads")
    return tiff.strange_compression(data) if own == "TIFF" else None


def unidentified(data: bytes) -> DecodeError:
    """What to say of bytes that no decoder takes."""
    error = known(data)
    if error is not None:
        return error
    own = own_format(data)
    if own is not None and is_cut_short(data):
        return DecodeError("truncated", f"it is {_with_article(own)} that is cut short")
    if own is not None:
        error = tiff.unread(data) if own == "TIFF" else jpeg.unread(data) if own == "JPEG" else None
        what = "header or palette" if own == "PNG" else "header"
        text = f"it is {_with_article(own)} whose {what} is damaged"
        return error or DecodeError("corrupt", text)
    kind = other_kind(data)
    if kind is not None:
        return DecodeError("not_an_image", f"it is {kind}")
    return DecodeError("not_an_image", f"no image format starts with {data[:12].hex(' ')}")


def _with_article(name: str) -> str:
    return f"an {name}" if name.startswith("A") else f"a {name}"


def own_format(data: bytes) -> str | None:
    """Which of the formats that Pillow reads here the bytes begin like."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if is_avif(data):
        return "AVIF"
    return next((name for start, name in _STARTS if data.startswith(start)), None)


def is_cut_short(data: bytes) -> bool:
    """Whether a WebP, AVIF, TIFF, GIF or JPEG that could not be read lacks its end.

    Sources: WebP Container Specification ("RIFF file format"); ISO 14496-12, 4.2; TIFF 6.0,
    section 2; GIF89a, section 18 ff.
    """
    name = own_format(data)
    if name == "WebP":
        return len(data) < 16 or _riff_end(data) > len(data) or _lacks_bits(data)
    if name == "AVIF":
        return heif.is_cut_short(data)
    if name == "TIFF":
        return tiff.lacks_its_end(data)
    if name == "JPEG":
        return jpeg.ends_in_its_header(data)
    return name == "GIF" and not data.rstrip(b"\0").endswith(b";")


def ends_in_zeros(data: bytes, pixels: int) -> bool:
    """Whether zeros lie where the end of a WebP, AVIF or HEIC picture should, and decode as noise.

    So does a download that stopped after its room had been made. A flat WebP of 6 megapixels ends
    in 600 of them, others in none.

    Args:
        data: the file.
        pixels: of its picture.
    """
    zeros = bytes(_MOST_ZEROS + pixels // _PIXELS_A_ZERO)
    if own_format(data) == "WebP":
        return any(piece.endswith(zeros) for piece in _streams(data))
    # EXIF lies in the same box, and cameras leave room at its end.
    return b"Exif" not in data[:_MOST_HEADER_BYTES] and data.endswith(zeros)


def _streams(data: bytes) -> Iterator[bytes]:
    """The chunks of a WebP that hold pixels."""
    at = 12
    while at + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, at + 4)
        if data[at : at + 4] in (b"VP8 ", b"VP8L", b"ANMF"):
            yield data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


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
