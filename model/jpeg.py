"""JPEG: plain ones by simplejpeg in half Pillow's time, and those that end early or have no end.

Source: ITU-T T.81, annex B (markers and their segments).
"""

import io
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from model.errors import DecodeError

SIGNATURE = b"\xff\xd8\xff"
_END, _SCAN = b"\xff\xd9", 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those are tables
_SEQUENTIAL = (0xC0, 0xC1, 0xC9)
# Of a plain JPEG: frames with Huffman codes, tables, restart interval, comment, JFIF. EXIF, a
# profile or Adobe's marker would change what Pillow makes of the same pixels.
_PLAIN = frozenset([0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, 0xFE, 0xE0, _SCAN])
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # in a scan: neither stuffed nor a restart
SCALES = (1, 2, 4, 8)  # each a power of two that libjpeg can shrink by
_GREY = range(126, 131)  # what libjpeg shows of blocks that were never written, after all rounding
_LACKS_BLOCKS = re.compile("[Pp]remature end|instead of RST|bad Huffman code")


class Header(NamedTuple):
    """What a frame header says (B.2.2): bits a sample, size in pixels, colour components.

    `is_sequential`: the one scan of all components is the whole image. `is_plain`: nothing is in
    the file but its image, of 8 bits, grey or of three components.
    """

    bits: int
    height: int
    width: int
    components: int
    is_sequential: bool
    is_plain: bool


def header(data: bytes) -> Header | None:
    """What stands before the first scan; None without a frame or a scan."""
    frame, markers = None, set[int]()
    for marker, at in _segments(data):
        markers.add(marker)
        if marker in _FRAMES and at + 8 <= len(data):
            frame = marker, *struct.unpack_from(">BHHB", data, at + 2)
        elif marker == _SCAN and frame is not None:
            kind, bits, height, width, components = frame
            is_sequential = kind in _SEQUENTIAL and data[at + 2 : at + 3] == bytes([components])
            is_plain = markers <= _PLAIN and bits == 8 and components in (1, 3)
            return Header(bits, height, width, components, is_sequential, is_plain)
    return None


def plain_pixels(
    data: bytes, of: Header, min_size: tuple[int, int]
) -> npt.NDArray[np.uint8] | None:
    """Decode a plain JPEG, at the scale that Pillow's `Image.draft` chooses, to Pillow's pixels.

    simplejpeg calls the same libjpeg-turbo (tests/model/test_jpeg.py compares them).

    Args:
        data: the file.
        of: its `header`.
        min_size: (width, height) that the decoded image must have at least.

    Returns:
        uint8 (height, width, 3), or (height, width) of a grey JPEG; None where libjpeg has a
        warning, such as for a truncated file.
    """
    import simplejpeg  # here: whoever reads no JPEG needs none

    fits = min(of.width // max(min_size[0], 1), of.height // max(min_size[1], 1))
    scale = next((scale for scale in reversed(SCALES) if fits >= scale), 1)
    width, height = -(-of.width // scale), -(-of.height // scale)
    try:
        decoded = simplejpeg.decode_jpeg(
            data, "GRAY" if of.components == 1 else "RGB",
            fastdct=False, fastupsample=False, min_height=height, min_width=width, min_factor=1,
        )  # fmt: skip
    except ValueError:
        return None
    if decoded.shape[:2] != (height, width):
        return None
    return decoded[:, :, 0] if of.components == 1 else decoded


def opened(data: bytes) -> Image.Image:
    """The image, its header read; past `Image.open`, which refuses large ones before their scale.

    Raises:
        UnidentifiedImageError: as `Image.open`.
    """
    try:
        return JpegImagePlugin.jpeg_factory(io.BytesIO(data))
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        raise UnidentifiedImageError(str(error)) from None


def ends_in_its_header(data: bytes) -> bool:
    """Whether the file ends before its first scan begins, and every segment until then is sound."""
    at = 2
    for marker, behind in _segments(data):
        if marker == _SCAN or behind != at + 2:
            return False
        at = behind + max(2, int.from_bytes(data[behind : behind + 2], "big"))
    return data[at : at + 1] in (b"", b"\xff") and at + 4 > len(data)


def unread(data: bytes) -> DecodeError | None:
    """Why a JPEG whose frame header is sound is not decoded; None where it is damaged."""
    head = header(data)
    if head is not None and head.bits != 8:
        return DecodeError("unsupported", f"it is a JPEG of {head.bits}-bit samples")
    if head is not None and not head.height:
        text = "it is a JPEG that tells its height behind its image (DNL)"
        return DecodeError("unsupported", f"{text}, which no decoder here reads")
    return None


def with_end(data: bytes) -> bytes | None:
    """A JPEG of one scan that lacks nothing but its end marker, with it; None for any other file.

    Cameras and the frames of films leave it out, and viewers show such an image. Of several scans
    nobody knows how many there were.
    """
    head, ended = header(data), data.rstrip(b"\xff") + _END
    return ended if head is not None and head.is_sequential and not _warning(ended) else None


def is_truncated(data: bytes, image: Image.Image) -> bool:
    """Whether a JPEG that has been decoded ends, by an end marker, before its last block.

    libjpeg only warns of it, and the missing blocks are grey, the last pixel too. Where another
    block is damaged and the last is there, viewers show the image.

    Args:
        data: the file.
        image: what became of it, loaded.
    """
    corner = image.getpixel((image.width - 1, image.height - 1))
    is_grey = all(value in _GREY for value in (corner if isinstance(corner, tuple) else (corner,)))
    return is_grey and lacks_blocks(data)


def lacks_blocks(data: bytes) -> bool:
    """Whether a scan or a restart interval ends before the image does, by libjpeg's word."""
    return _LACKS_BLOCKS.search(_warning(data)) is not None


def _warning(data: bytes) -> str:
    """The first thing that libjpeg finds wrong with the blocks, which Pillow keeps to itself."""
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        return str(error)
    return ""


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """(marker, position behind it) of each segment, up to the end of the file."""
    at = 2 if data.startswith(SIGNATURE) else len(data)
    while found := _MARKER.search(data, at):
        yield found[0][1], found.end()
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
