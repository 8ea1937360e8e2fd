"""Reads, writes and lists files wherever they lie: on a local disk or in an object store.

Every write goes through the functions of this module. A new store is a file with the functions of
`Store`, and a line in `store_of`. Ray Train takes its storage through pyarrow
(`train_filesystem`). What files are there is pipelines/storage/listing.py.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow.fs

from model.errors import StorageError
from pipelines.storage import local, objects, web, writes
from pipelines.storage.entries import FileEntry, ReadFailure
from pipelines.storage.uris import file_of, is_local, is_row, is_web, join, normalize, split_bucket
from pipelines.storage.writes import announced

MOST_WEB_BYTES = 64 * 2**20  # of a picture that is shown
__all__ = ["file_of", "is_local", "is_row", "join", "normalize", "split_bucket", "writes"]


class Store(Protocol):
    """What a kind of store can do; its functions say what they raise and leave.

    Attributes:
        READS_AHEAD: several reads at once are faster.
        SETTLE_S: seconds after which two writers of one file see each other's.
    """

    READS_AHEAD: bool
    SETTLE_S: float

    def read(self, uri: str, offset: int | None, length: int | None) -> bytes: ...
    def write(self, uri: str, data: bytes, half: Callable[[], None]) -> None: ...
    def create(self, uri: str, data: bytes) -> bool: ...
    def exists(self, uri: str) -> bool: ...
    def delete(self, uri: str) -> None: ...
    def delete_tree(self, uri: str) -> None: ...
    def upload(self, uri: str, path: Path) -> None: ...
    def download(self, uri: str, path: Path) -> None: ...
    def open_reader(self, uri: str) -> Any: ...
    def is_folder(self, uri: str) -> bool: ...
    def files(self, uri: str, descend: bool, with_gaps: bool = False) -> Iterator[FileEntry]: ...
    def folders(self, uri: str) -> list[str]: ...
    def require_readable(self, uri: str, argument: str) -> None: ...
    def require_store(self, uri: str, argument: str) -> None: ...


def store_of(uri: str) -> Store:
    """The store that a normalized URI names."""
    return local if is_local(uri) else objects


def read_bytes(uri: str, offset: int | None = None, length: int | None = None) -> bytes:
    """The bytes of a file; with `offset`, at most the `length` bytes from there on.

    Raises:
        FileNotFoundError: it is not there.
        OSError: anything else; the store may have failed, so this says nothing about the file.
    """
    if is_web(uri):
        data = web.get(uri, MOST_WEB_BYTES)
        if isinstance(data, ReadFailure):
            raise FileNotFoundError(str(data))
        return data
    return store_of(uri).read(uri, offset, length)


def open_reader(uri: str) -> Any:
    """A file to read and seek in, without reading it whole."""
    return store_of(uri).open_reader(uri)


def write_bytes(uri: str, data: bytes) -> None:
    """Put a whole file in place at once: a reader sees the old file or the new one."""
    with announced("put", uri) as half:
        store_of(uri).write(uri, data, half)


def create_bytes(uri: str, data: bytes) -> bool:
    """Put a file only if there is none; False if there is one already.

    Not every S3 server honours the condition (rclone overwrites): read back to be sure.
    """
    with announced("create", uri):
        return store_of(uri).create(uri, data)


@contextlib.contextmanager
def filling(uri: str) -> Generator[Path]:
    """A temporary local file to fill; at the end of the block it is put in place as `uri`."""
    with announced("place", uri) as half, local.filling(uri) as temporary:
        yield temporary
        half()


def upload(uri: str, path: Path) -> None:
    """Copy a file of this machine to `uri`, at once and whole."""
    with announced("upload", uri):
        store_of(uri).upload(uri, path)


def download(uri: str, path: str) -> None:
    """Copy a file to a path of this machine, at once and whole."""
    with filling(path) as temporary:
        store_of(uri).download(uri, temporary)


def exists(uri: str) -> bool:
    """Whether a file (not a folder) is there."""
    return store_of(uri).exists(uri)


def delete(uri: str) -> None:
    """Remove a file; nothing happens if it is not there."""
    with announced("delete", uri), contextlib.suppress(FileNotFoundError):
        store_of(uri).delete(uri)


def delete_tree(uri: str) -> None:
    """Remove a folder or a prefix and all that is in it; nothing happens if it is not there.

    Raises:
        OSError: something in it cannot be removed.
    """
    with announced("delete_tree", uri):
        store_of(uri).delete_tree(uri)


def require_readable(uri: str, argument: str) -> None:
    """Fail early, in one sentence, if nothing can be read at `uri`.

    Raises:
        StorageError: no such folder or file, missing bucket, denied key, unreachable endpoint.
    """
    store_of(uri).require_readable(uri, argument)


def require_writable(uri: str, argument: str) -> None:
    """Fail early, in one sentence, if nothing can be written below `uri`.

    Raises:
        StorageError: see `require_readable`, or the place is read-only.
    """
    probe = join(uri, ".facemill-probe")
    store_of(uri).require_store(uri, argument)
    try:
        write_bytes(probe, b"")
        delete(probe)
    except OSError as error:
        raise StorageError(f"{argument} {uri} cannot be written: {error}") from None


def train_filesystem(uri: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """The pyarrow filesystem and path that Ray Train stores checkpoints through."""
    if is_local(uri):
        return pyarrow.fs.LocalFileSystem(), uri
    from pipelines.storage.train_files import store_filesystem  # fsspec: a second to import

    scheme, _, path = uri.partition("://")
    return store_filesystem(scheme), path
