"""PNG where Pillow is stricter or laxer than viewers: extras, checksums, streams that end early.

Source: W3C, "Portable Network Graphics (PNG) Specification", third edition: 5.3 (chunk layout),
5.4 (a lower-case first letter marks a chunk that a decoder may ignore), 9.2 (scan lines).
"""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples a pixel
_KEPT = (b"tRNS", b"eXIf", b"sBIT", b"iCCP", b"cICP", b"sRGB", b"gAMA")  # ancillary, and used here
_PIECE_BYTES = 1 << 20
_MAX_PROFILE_BYTES = 1 << 20  # Pillow refuses the image for a larger one


def repaired(data: bytes) -> bytes:
    """The file as viewers take it: without unsound extras, its stream with a right checksum.

    Ancillary chunks go that a decoder can do without, or whose checksum is wrong. Viewers have the
    image before they come to the checksum of the whole stream (zlib's, RFC 1950, 2.2); where that
    of a chunk of the stream is wrong too, bytes were damaged, and it stays as it is.
    """
    idats = [(chunk, is_sound) for name, chunk, is_sound in _chunks(data) if name == b"IDAT"]
    stream, whole = _stream(data), b"".join(chunk for chunk, _ in idats)
    _, checksum, rest = _inflated(stream, _raw_bytes(data))
    if rest is not None and all(is_sound for _, is_sound in idats):
        body = b"IDAT" + stream[: len(stream) - len(rest)] + struct.pack(">I", checksum)
        whole = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    kept = [SIGNATURE]
    for name, chunk, is_sound in _chunks(data):
        if name == b"IDAT":
            chunk, whole = whole, b""
        if not name[:1].islower() or (name in _KEPT and is_sound and _is_usable(name, chunk)):
            kept.append(chunk)
    return b"".join(kept)


def chunk_of(data: bytes, wanted: bytes) -> bytes | None:
    """The body of a sound chunk of this type before the pixels; None without one."""
    for name, chunk, is_sound in _chunks(data):
        if name == wanted and is_sound:
            return chunk[8:-4]
        if name == b"IDAT":
            return None
    return None


def is_truncated(data: bytes) -> bool:
    """Whether the compressed stream ends, properly, before the last row; decoders leave it black.

    Inflates the stream in pieces; memory stays at a megabyte.
    """
    wanted = _raw_bytes(data)
    got, _, rest = _inflated(_stream(data), wanted)
    return rest is not None and got < wanted


def _is_usable(name: bytes, chunk: bytes) -> bool:
    """Whether a profile (iCCP, 11.3.2.3) is packed as Pillow takes it: a name, 0, 0, a stream."""
    if name != b"iCCP":
        return True
    packed, inflate = chunk[8:-4].partition(b"\0")[2], zlib.decompressobj()
    try:
        inflate.decompress(packed[1:], _MAX_PROFILE_BYTES)
    except zlib.error:
        return False
    return packed[:1] == b"\0" and not inflate.unconsumed_tail


def _stream(data: bytes) -> bytes:
    return b"".join(chunk[8:-4] for name, chunk, _ in _chunks(data) if name == b"IDAT")


def _inflated(stream: bytes, wanted: int) -> tuple[int, int, bytes | None]:
    """(bytes in a zlib stream, their checksum, what is behind them; None where it has no end)."""
    inflate, total, checksum, piece, raw = (
        zlib.decompressobj(-zlib.MAX_WBITS),
        0,
        1,
        stream[2:],
        b"-",
    )
    try:
        while (piece or raw) and not inflate.eof and total <= 2 * wanted:
            raw = inflate.decompress(piece, _PIECE_BYTES)
            piece, checksum = inflate.unconsumed_tail, zlib.adler32(raw, checksum)
            total += len(raw)
    except zlib.error:  # damaged: the decoder says so itself
        pass
    return total, checksum, inflate.unused_data if inflate.eof else None


def _raw_bytes(data: bytes) -> int:
    """Bytes of all scan lines, by the header; of an interlaced image, a few less than it has."""
    if data[12:16] != b"IHDR" or len(data) < 33:
        return 0
    width, height, depth, color = struct.unpack(">IIBB", data[16:26])
    return height * (1 + -(-width * depth * _CHANNELS.get(color, 1) // 8))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """(type, the whole chunk, whether its checksum is right) of each; to where the file is cut."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunk = data[at : at + 12 + size]
        is_cut = len(chunk) < 12 + size
        crc = struct.pack(">I", zlib.crc32(chunk[4:-4]))
        yield chunk[4:8], chunk, not is_cut and crc == chunk[-4:]
        at += 12 + size
