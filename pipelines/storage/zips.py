"""What is in a .zip, and where in it: each member is read by itself, stored or deflated.

Source: APPNOTE.TXT 6.3.10 of PKWARE, 4.3.7 (local header), 4.3.9 (data descriptor) and 4.4.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence

from model.errors import StorageError
from pipelines import storage
from pipelines.storage.entries import FileEntry, ReadFailure, is_hidden
from pipelines.storage.store_errors import as_os_errors

_HEADER = struct.Struct("<4s5H3L2H")  # 30 bytes: signature, …, flags, method, …, two lengths
_SIGNATURE = b"PK\3\4"
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _SUM_BEHIND = 1, 8  # bits of the flags
_SUM_SIGNATURE = b"PK\7\x08"  # which may be left out (4.3.9.3)
_SPARE = 1024  # bytes of a header's name and extra fields that are read along with the picture


def list_zip(uri: str) -> Iterator[FileEntry]:
    """The files inside a .zip, by the directory at its end.

    A name that stands in it twice is two inputs: from the second on its URI ends in `@` and its
    place. The ETag is the checksum and size that the directory says.

    Raises:
        StorageError: it is not a .zip, or its end is missing.
    """
    seen = set[int]()
    with as_os_errors(uri), storage.open_reader(uri) as file:
        try:
            members = zipfile.ZipFile(file).infolist()
            _require_inside(members, file.seek(0, io.SEEK_END))
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            raise StorageError(
                f"{uri} is no whole .zip ({error}): copy it again, or repack it with zip -r"
            ) from None
        for member in members:
            name = member.filename
            if not name or name.endswith("/") or is_hidden(name):
                continue
            if hash(name) in seen:
                name = f"{name}@{member.header_offset}"
            seen.add(hash(name))
            etag = f"{member.CRC:08x}-{member.file_size:x}"
            yield FileEntry(f"{uri}#{name}", member.file_size, etag, member.header_offset)


def _require_inside(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Check that every member begins in the file.

    Raises:
        BadZipFile: one does not.
    """
    for member in members:
        if not 0 <= member.header_offset < size:
            raise zipfile.BadZipFile("its directory names a position outside of it")


def read_zip_member(uri: str, member_uri: str, offset: int, size: int) -> bytes:
    """The bytes of a member, by one ranged request, or two where its header is long.

    Args:
        uri: of the archive.
        member_uri: for messages.
        offset: of the member's local header.
        size: of the member, unpacked; no more is ever unpacked.

    Raises:
        ReadFailure: it is encrypted, packed by another method, or damaged.
        OSError: as `storage.read_bytes`.
    """
    # Deflated pictures are no larger than they are, but for 5 bytes a block of 16 KiB or more.
    length = _HEADER.size + _SPARE + size + size // 1000 + 64
    data = storage.read_bytes(uri, offset, length)
    if len(data) < _HEADER.size or data[:4] != _SIGNATURE:
        raise _bad(member_uri, "is no longer where the archive's directory says")
    _, _, flags, method, _, _, crc, *_, name_length, extra_length = _HEADER.unpack(
        data[: _HEADER.size]
    )
    if flags & _ENCRYPTED:
        raise _bad(member_uri, "is encrypted: repack the archive without a password")
    if method not in (_STORED, _DEFLATED):
        raise _bad(member_uri, f"is packed by method {method}: only stored and deflated are read")
    start = _HEADER.size + name_length + extra_length
    if name_length + extra_length > _SPARE and len(data) == length:
        data = storage.read_bytes(uri, offset, length + start)
    content, rest = data[start : start + size], data[start + size :]
    if method == _DEFLATED:
        content, rest = _inflated(data[start:], size)
    if len(content) != size:
        raise _bad(member_uri, "is damaged, or not of the size that the archive's directory says")
    if flags & _SUM_BEHIND:
        rest = rest.removeprefix(_SUM_SIGNATURE)
        crc = int.from_bytes(rest[:4], "little") if len(rest) >= 4 else zlib.crc32(content)
    if zlib.crc32(content) != crc:
        raise _bad(member_uri, "is damaged: its checksum is another")
    return content


def _inflated(data: bytes, size: int) -> tuple[bytes, bytes]:
    """At most one byte more than `size` of a raw stream, and what is behind it; else nothing."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return stream.decompress(data, size + 1), stream.unused_data
    except zlib.error:
        return b"", b""


def _bad(member_uri: str, why: str) -> ReadFailure:
    return ReadFailure("bad_member", f"{member_uri} {why}")
