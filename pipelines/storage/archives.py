"""What is in an uncompressed tar, and where in it; a tar without its end is refused."""

import os
import shlex
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

from model.errors import StorageError
from pipelines import storage
from pipelines.storage.entries import FileEntry, has_image_name, is_hidden
from pipelines.storage.s3_client import as_os_errors

_LOST = "{} {}, and what comes after would be lost: copy it again, or repack it with tar -cf"
_UNPACKERS = (  # ends of names, and what brings the pictures out
    ((".tar.gz", ".tgz"), "gunzip -c {0} > faces.tar"),
    ((".tar.bz2", ".tbz2", ".tbz"), "bunzip2 -c {0} > faces.tar"),
    ((".tar.xz", ".txz"), "xz -dc {0} > faces.tar"),
    ((".tar.zst", ".tzst"), "zstd -dc {0} > faces.tar"),
    ((".zip", ".zipx"), "unzip {0} -d faces"),
    ((".7z",), "7z x {0} -ofaces"),
    ((".rar",), "unrar x {0} faces/"),
)
_TAR_FILLING = 64 * 1024  # tar fills up to 10 KiB; a lost member starts at once


def how_to_unpack(uri: str) -> str | None:
    """A command for an archive that cannot be read as it is, by its name; None for other files."""
    name = uri.rpartition("/")[2]
    for ends, command in _UNPACKERS:
        if name.lower().endswith(ends):
            return command.format(shlex.quote(name))
    return None


def compressed(uri: str, command: str) -> StorageError:
    """What to say of an archive that is given as images."""
    made = "that .tar" if command.endswith(".tar") else "that folder"
    return StorageError(
        f"{uri} is a compressed archive, whose pictures cannot be read one by one: unpack it, for "
        f"example with `{command}`, and give {made}"
    )


def list_tar(uri: str) -> Iterator[FileEntry]:
    """The files inside an uncompressed tar, each readable in one ranged GET.

    A name that stands in it twice is two inputs: from the second on its URI ends in `@` and its
    place. A link is an input as in a folder: what it leads to, under its own name. One that leads
    out of the tar, or to a later member, has no bytes: reading it says so.

    Raises:
        StorageError: it is not a tar, a compressed one, or its end is missing or damaged.
    """
    seen = dict[int, tuple[int, int]]()  # hash of a name -> where its bytes are: memory is a tar's
    with as_os_errors(uri), storage.open_reader(uri) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
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
                    yield FileEntry(f"{uri}#{name}", max(size, 0), etag, offset)
                _require_end(file, tar.offset, uri)
        except tarfile.TarError as error:
            if seen:
                raise StorageError(_LOST.format(uri, f"is cut off ({error})")) from None
            raise StorageError(
                f"{uri} is not an uncompressed tar ({error}): unpack it, or repack it with tar -cf"
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
