"""Plain JPEGs, which most collections of faces are, decoded without Pillow's reading of headers.

Plain is a JPEG with nothing in it but its picture: no EXIF, no colour profile, no Adobe marker. For
such a file simplejpeg, which calls the same libjpeg-turbo, gives the very pixels that Pillow gives
(tests/model/test_plain_jpeg.py), in half the time. Everything else, and whatever libjpeg has a
warning for, is Pillow's.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

_START, _SCAN = b"\xff\xd8", 0xDA
# Tables of quantization and Huffman codes, restart interval, comment, JFIF: pixels are read alike.
_HARMLESS = frozenset([0xDB, 0xC4, 0xDD, 0xFE, 0xE0])
_FRAMES = frozenset([0xC0, 0xC1, 0xC2])  # baseline, extended, progressive, all with Huffman codes
_SCALES = (8, 4, 2, 1)


@dataclasses.dataclass(frozen=True)
class Header:
    """Size of a plain JPEG in pixels, and its colour components: 1, grey, or 3."""

    width: int
    height: int
    components: int


def header(data: bytes) -> Header | None:
    """What the header of a plain JPEG says; None for any other file."""
    if not data.startswith(_START):
        return None
    at, found = 2, None
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SCAN:
            return found
        if marker in _FRAMES and length >= 8 and found is None and at + 10 <= len(data):
            if data[at + 4] != 8 or data[at + 9] not in (1, 3):
                return None
            height, width = (int.from_bytes(data[at + k : at + k + 2], "big") for k in (5, 7))
            found = Header(width, height, data[at + 9])
        elif marker not in _HARMLESS:
            return None
        at += 2 + length
    return None


def pixels(data: bytes, of: Header, least: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
    """Decode at the scale that Pillow's `Image.draft` chooses.

    Args:
        data: the file.
        of: its `header`.
        least: (width, height) that the decoded picture must have at least.

    Returns:
        uint8 (height, width, 3), or (height, width) of a grey JPEG; None where libjpeg has a
        warning, such as for a file that is cut short.
    """
    import simplejpeg  # here: whoever reads no JPEG needs none

    fits = min(of.width // max(least[0], 1), of.height // max(least[1], 1))
    scale = next((scale for scale in _SCALES if fits >= scale), 1)
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
