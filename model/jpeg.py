"""JPEG where libjpeg is laxer or stricter than viewers: pictures that end early or have no end.

Source: ITU-T T.81, annex B (markers and their segments).
"""

import dataclasses
import io
from collections.abc import Iterator

from PIL import Image

from model.errors import DecodeError

SIGNATURE = b"\xff\xd8\xff"
_END = b"\xff\xd9"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those are tables
_SEQUENTIAL, _SCAN = (0xC0, 0xC1, 0xC9), 0xDA
_GREY = range(126, 131)  # what libjpeg shows of blocks that were never written, after all rounding
# More entropy-coded bytes with all restart markers between them: a decoder that has its picture
# skips them, and one that lacks blocks makes some of them.
_MORE = b"".join(b"\x35\xa9\x6e\x1c" * 8 + bytes([0xFF, 0xD0 + n]) for n in range(8))


@dataclasses.dataclass(frozen=True)
class Frame:
    """What a frame header says (B.2.2): bits a sample, height in pixels, colour components.

    Attributes:
        is_sequential: the one scan of all components is the whole picture.
    """

    bits: int
    height: int
    components: int
    is_sequential: bool


def frame(data: bytes) -> Frame | None:
    """What the header of the frame and that of its first scan say; None without a frame."""
    found = None
    for marker, at in _segments(data):
        if marker in _FRAMES and at + 8 <= len(data):
            height = int.from_bytes(data[at + 3 : at + 5], "big")
            found = Frame(data[at + 2], height, data[at + 7], marker in _SEQUENTIAL)
        elif marker == _SCAN and found is not None:
            is_all = data[at + 2 : at + 3] == bytes([found.components])
            return dataclasses.replace(found, is_sequential=found.is_sequential and is_all)
    return found and dataclasses.replace(found, is_sequential=False)


def ends_in_its_header(data: bytes) -> bool:
    """Whether the file ends before its first scan begins, and every segment until then is sound."""
    at = 2
    for marker, behind in _segments(data):
        if marker == _SCAN:
            return False
        at = behind + int.from_bytes(data[behind : behind + 2], "big")
    return data[at : at + 1] in (b"", b"\xff") and at + 4 > len(data)


def unread(data: bytes) -> DecodeError | None:
    """Why a JPEG whose frame header is sound is not read; None where it is damaged."""
    head = frame(data)
    if head is None:
        return None
    if head.bits != 8:
        return DecodeError("unsupported", f"it is a JPEG of {head.bits}-bit samples")
    if not head.height:
        text = "it is a JPEG that tells its height behind its picture (DNL)"
        return DecodeError("unsupported", f"{text}, which no decoder here reads")
    return None


def with_end(data: bytes) -> bytes | None:
    """A JPEG of one scan that lacks nothing but its end marker, with it; None for any other file.

    Cameras and the frames of films leave it out, and viewers show such a picture. Of several scans
    nobody knows how many there were.
    """
    head = frame(data)
    if head is None or not head.is_sequential or _end_marker(data) is not None:
        return None
    ended = data.rstrip(b"\xff") + _END
    try:
        with Image.open(io.BytesIO(ended), formats=("JPEG",)) as image:
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 0):
                return None
            image.load()
            return None if lacks_blocks(ended, image, image.size) else ended
    except OSError:
        return None


def is_cut_short(data: bytes, image: Image.Image, least: tuple[int, int]) -> bool:
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
    return lacks_blocks(data, image, least)


def lacks_blocks(data: bytes, image: Image.Image, least: tuple[int, int]) -> bool:
    """As `is_cut_short`, and whatever the last pixel is."""
    end = _end_marker(data)
    if end is None:
        return False
    with Image.open(io.BytesIO(data[:end] + _MORE + data[end:]), formats=("JPEG",)) as longer:
        longer.draft(None, least)
        return longer.tobytes() != image.tobytes()


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """(marker, place behind it) of each segment up to the first scan's."""
    at = 2 if data.startswith(SIGNATURE) else len(data)
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:  # fill (B.1.1.2)
            at += 1
            continue
        yield data[at + 1], at + 2
        if data[at + 1] == _SCAN:
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


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
