"""PNG where Pillow is stricter or laxer than viewers: extras, sums, streams that end early.

Source: W3C, "Portable Network Graphics (PNG) Specification", third edition: 5.3 (chunk layout),
5.4 (a lower-case first letter marks a chunk that a decoder may ignore), 8.1 (Adam7), 9.2.
"""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples a pixel
_KEPT = (b"tRNS", b"eXIf", b"sBIT", b"iCCP", b"cICP", b"sRGB", b"gAMA")  # ancillary, and used here
# Adam7: (first column, column step, first row, row step) of each pass.
_PASSES = (
    (0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2),
    (0, 1, 1, 2),
)  # fmt: skip
_PIECE_BYTES = 1 << 20
_MOST_PROFILE_BYTES = 1 << 20  # Pillow refuses the picture for a larger one


def without_bad_extras(data: bytes) -> bytes:
    """The file less every ancillary chunk that its decoder can do without or whose sum is wrong.

    Critical chunks (IHDR, PLTE, IDAT, IEND) stay as they are, damaged or not.
    """
    kept = [SIGNATURE]
    for name, whole, is_sound in _chunks(data):
        is_sound = is_sound and (name != b"iCCP" or _is_profile(whole[8:-4]))
        if not name[:1].islower() or (name in _KEPT and is_sound):
            kept.append(whole)
    return b"".join(kept)


def with_right_sum(data: bytes) -> bytes:
    """The file; if only the checksum of its whole compressed stream is wrong, with a right one.

    Viewers have the picture before they come to that sum (zlib's, RFC 1950, 2.2). Where the sum of
    a chunk is wrong too, bytes were damaged.
    """
    chunks = [(name, whole) for name, whole, _ in _chunks(data)]
    if not all(is_sound for name, _, is_sound in _chunks(data) if name == b"IDAT"):
        return data
    stream = b"".join(whole[8:-4] for name, whole in chunks if name == b"IDAT")
    inflate, total, piece = zlib.decompressobj(-zlib.MAX_WBITS), 1, stream[2:]
    try:
        while piece and not inflate.eof:
            total = zlib.adler32(inflate.decompress(piece, _PIECE_BYTES), total)
            piece = inflate.unconsumed_tail
    except zlib.error:
        return data
    end = len(stream) - len(inflate.unused_data)
    if not inflate.eof or stream[end : end + 4] == struct.pack(">I", total):
        return data
    body = b"IDAT" + stream[:end] + struct.pack(">I", total)
    mended = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    first = next(k for k, (name, _) in enumerate(chunks) if name == b"IDAT")
    kept = [
        mended if k == first else whole
        for k, (name, whole) in enumerate(chunks)
        if name != b"IDAT" or k == first
    ]
    return SIGNATURE + b"".join(kept)


def _is_profile(body: bytes) -> bool:
    """Whether an iCCP chunk (11.3.2.3) is packed as Pillow takes it: a name, 0, 0, a stream."""
    _, _, packed = body.partition(b"\0")
    inflate = zlib.decompressobj()
    try:
        inflate.decompress(packed[1:], _MOST_PROFILE_BYTES)
    except zlib.error:
        return False
    return packed[:1] == b"\0" and not inflate.unconsumed_tail


def significant_bits(data: bytes) -> int | None:
    """Bits a grey sample really has, as the sBIT chunk declares (11.3.2.4); None without one."""
    for name, whole, is_sound in _chunks(data):
        if name == b"sBIT" and is_sound and len(whole) > 12:
            return whole[8]
        if name == b"IDAT":
            return None
    return None


def code_points(data: bytes) -> tuple[int, int] | None:
    """(primaries, transfer) by ISO 23091-2, as the cICP chunk declares (11.3.2.6); or None."""
    for name, whole, is_sound in _chunks(data):
        if name == b"cICP" and is_sound and len(whole) == 16:
            return whole[8], whole[9]
        if name == b"IDAT":
            return None
    return None


def is_cut_short(data: bytes) -> bool:
    """Whether the compressed stream ends, properly, before the last row; decoders leave it black.

    Inflates the stream in pieces; memory stays at a megabyte.
    """
    head, wanted = None, 0
    inflate = zlib.decompressobj()
    got = 0
    for name, whole, _ in _chunks(data):
        if name == b"IHDR" and len(whole) >= 25:
            head = struct.unpack(">IIBBBBB", whole[8:21])
            wanted = _raw_bytes(head)
        elif name == b"IDAT":
            piece = whole[8:-4]
            while piece and got < wanted:
                try:
                    got += len(inflate.decompress(piece, _PIECE_BYTES))
                except zlib.error:
                    return False  # damaged: the decoder says so itself
                piece = inflate.unconsumed_tail
    return head is not None and inflate.eof and got < wanted


def _raw_bytes(head: tuple[int, ...]) -> int:
    """Bytes of all filtered scan lines of a picture (7.2, 9.2)."""
    width, height, depth, color, _, _, interlace = head
    bits = depth * _CHANNELS.get(color, 1)
    passes = _PASSES if interlace else ((0, 1, 0, 1),)
    total = 0
    for first_column, column_step, first_row, row_step in passes:
        columns = max(0, -(-(width - first_column) // column_step))
        rows = max(0, -(-(height - first_row) // row_step))
        total += rows * (1 + -(-columns * bits // 8)) if columns else 0
    return total


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """(type, the whole chunk, whether its sum is right) of each; ends where the file is cut."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        whole = data[at : at + 12 + size]
        if len(whole) < 12 + size:
            yield data[at + 4 : at + 8], whole, False
            return
        name, (crc,) = whole[4:8], struct.unpack(">I", whole[-4:])
        yield name, whole, zlib.crc32(whole[4:-4]) == crc
        at += 12 + size
