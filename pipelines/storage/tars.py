"""What is in a tar or a .tar.gz, and where in it; one without its end is refused.

A .tar.gz cannot be entered in its midst: it is read from its start, once to list it and once to
read its members in their order, which is why they stay together in one shard.
"""

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from model.errors import StorageError
from pipelines import storage
from pipelines.storage.entries import FileEntry, has_image_name, is_hidden
from pipelines.storage.store_errors import as_os_errors

_LOST = "{} {}, and what follows would be lost: copy it again, or repack it with tar -cf"
_BOMB = (
    "{} unpacks to more than 200 times its size, which images never do: it is not an archive "
    "of images, or it is made to fill a disk"
)
_MOST_RATIO, _MOST_UNPACKED = 200, 1 << 30  # a small one of blank pictures may exceed the ratio
_MOST_READ = 64 << 20  # at once: only a name or a comment of a header can ask for more
_TAR_FILLING = 64 * 1024  # tar fills up to 10 KiB; a lost member starts at once
DAMAGED = (gzip.BadGzipFile, zlib.error, EOFError)  # what reading a damaged gzip raises


def is_gzipped(uri: str) -> bool:
    """Whether it is the name of a .tar.gz."""
    return uri.lower().endswith((".tar.gz", ".tgz"))


class _Tar(io.BufferedIOBase):
    """A tar as it is unpacked, to read and seek in; a .tar.gz is unpacked on the way."""

    def __init__(self, uri: str) -> None:
        self.packed: Any = storage.open_reader(uri)
        self.plain: Any = gzip.GzipFile(fileobj=self.packed) if is_gzipped(uri) else self.packed
        self.seek, self.tell = self.plain.seek, self.plain.tell
        self.packed_bytes = self.packed.seek(0, os.SEEK_END)
        self.packed.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MOST_READ:
            raise tarfile.ReadError("a header asks for more than 64 MiB")
        return self.plain.read(size)

    def close(self) -> None:
        self.plain.close()
        self.packed.close()
        super().close()


def open_tar(uri: str) -> _Tar:
    """A tar to read and seek in, unpacked; going back in a .tar.gz reads it from its start."""
    return _Tar(uri)


def list_tar(uri: str) -> Iterator[FileEntry]:
    """The files inside a tar, each readable in one ranged GET; of a .tar.gz, in one pass.

    A name that stands in it twice is two inputs: from the second on its URI ends in `@` and its
    place. A link is an input as in a folder: what it leads to, under its own name. One that leads
    out of the tar, or to a later member, has no bytes: reading it says so.

    Raises:
        StorageError: it is no such tar, its end is missing or damaged, or it is a .tar.gz that
            unpacks to far more than pictures do.
    """
    seen = dict[int, tuple[int, int]]()  # hash of a name -> where its bytes are: memory is a tar's
    unit = uri if is_gzipped(uri) else None
    with as_os_errors(uri), open_tar(uri) as file:
        most = None if unit is None else _MOST_UNPACKED + _MOST_RATIO * file.packed_bytes
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    if most is not None and tar.offset > most:
                        raise StorageError(_BOMB.format(uri))
                    place = _place_in_tar(member, seen)
                    if place is None:
                        continue
                    name, (offset, size) = member.name, place
                    if hash(name) in seen:
                        name = f"{name}@{member.offset_data}"
                    seen[hash(name)] = place
                    if is_hidden(member.name):
                        continue
                    etag = f"{int(member.mtime):x}-{size:x}" if size >= 0 else None
                    yield FileEntry(f"{uri}#{name}", max(size, 0), etag, offset, unit)
                _require_end(file, tar.offset, uri)
        except (tarfile.TarError, *DAMAGED) as error:
            if seen:
                raise StorageError(_LOST.format(uri, f"is cut off ({error})")) from None
            kind = "an uncompressed tar" if unit is None else "a tar in gzip"
            raise StorageError(
                f"{uri} is not {kind} ({error}): unpack it, or repack it with tar -cf"
            ) from None


def _place_in_tar(
    member: tarfile.TarInfo, seen: Mapping[int, tuple[int, int]]
) -> tuple[int, int] | None:
    """(offset, bytes) of a member's content, -1 bytes for a link to nowhere; None for no input."""
    if member.isfile():
        return member.offset_data, member.size
    if member.islnk():
        target = member.linkname
    elif member.issym() and has_image_name(member.name):  # others may lead to folders
        target = os.path.normpath(os.path.join(os.path.dirname(member.name), member.linkname))
        if member.name.startswith("./"):
            target = f"./{target}"
    else:
        return None
    return seen.get(hash(target), (member.offset_data, -1))


def _require_end(file: Any, offset: int, uri: str) -> None:
    """Check that reading stopped at the end: tarfile also stops, silently, at a damaged header.

    Raises:
        StorageError: there is no block of zeros, which every tar ends with, or more after it than
            the zeros that fill a tar up.
    """
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    after = file.read(_TAR_FILLING)
    if len(block) < tarfile.BLOCKSIZE or any(block) or any(after):
        damage = "is damaged, or two in one," if block else "is cut off"
        raise StorageError(_LOST.format(uri, f"{damage} at byte {offset:,}"))
