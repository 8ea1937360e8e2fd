"""Objects of S3, Google's and Azure's stores: one GET an image and no HEAD, one put an output file.

Credentials, region and endpoint come from the standard variables of each: see `clients`.
"""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import obstore

from model.errors import StorageError
from pipelines.storage.clients import client_of
from pipelines.storage.object_listing import files, folders, is_folder
from pipelines.storage.probing import holds_something
from pipelines.storage.store_errors import as_os_errors

__all__ = ["files", "folders", "is_folder"]

READS_AHEAD: bool = True
# Not every store honours "only if it is not there"; two writers see each other's object then.
SETTLE_S: float = 0.5
_ONE_PUT_BYTES = 32 * 2**20  # 120 s at 2 Mbit/s; shards are smaller, data set files are not
_CHUNK_BYTES = 32 * 2**20
_READ_BYTES = 2**20  # as obstore's reader asks for


def read(uri: str, offset: int | None, length: int | None) -> bytes:
    """All bytes, or `length` of them from `offset` on."""
    with as_os_errors(uri):
        store, key = client_of(uri)
        if offset is not None:
            return bytes(obstore.get_range(store, key, start=offset, length=length or 0))
        return bytes(obstore.get(store, key).bytes())


def write(uri: str, data: bytes, half: Callable[[], None]) -> None:
    """There at once and whole, with the one request or the one that ends its parts."""
    del half  # an object is never half there
    with as_os_errors(uri):
        store, key = client_of(uri)
        obstore.put(store, key, data, use_multipart=len(data) > _ONE_PUT_BYTES)


def create(uri: str, data: bytes) -> bool:
    """Put an object only if there is none; False if there is one already."""
    store, key = client_of(uri)
    try:
        with as_os_errors(uri):
            obstore.put(store, key, data, mode="create", use_multipart=False)
    except FileExistsError:
        return False
    return True


def exists(uri: str) -> bool:
    """Whether an object is there."""
    with contextlib.suppress(FileNotFoundError), as_os_errors(uri):
        store, key = client_of(uri)
        return bool(obstore.head(store, key))
    return False


def delete(uri: str) -> None:
    """Remove an object.

    Raises:
        FileNotFoundError: it is not there, where the store says so.
    """
    with as_os_errors(uri):
        store, key = client_of(uri)
        obstore.delete(store, key)


def delete_tree(uri: str) -> None:
    """Remove all objects below a prefix."""
    for entry in list(files(uri.rstrip("/") + "/", descend=True)):
        delete(entry.uri)


def upload(uri: str, path: Path) -> None:
    """Copy a file of this machine to `uri`; multipart: there at once and whole, or not at all."""
    with as_os_errors(uri):
        store, key = client_of(uri)
        obstore.put(store, key, path)


def download(uri: str, path: Path) -> None:
    """Copy an object to `path`."""
    with as_os_errors(uri), open(path, "wb") as file:
        store, key = client_of(uri)
        for part in obstore.get(store, key).stream(_CHUNK_BYTES):
            file.write(bytes(part))


def open_reader(uri: str) -> Any:
    """A file to read and seek in, by ranges."""
    store, key = client_of(uri)
    # What a tar's headers skip is often in the buffer: 20 requests for 2,000 pictures, not 2,000.
    return io.BufferedReader(_Reader(obstore.open_reader(store, key)), _READ_BYTES)


class _Reader(io.RawIOBase):
    """A reader of obstore's as a file of Python's."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.reader.seek(offset, whence)

    def tell(self) -> int:
        return self.reader.tell()

    def readinto(self, buffer: Any) -> int:
        data = bytes(self.reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)


def require_readable(uri: str, argument: str) -> None:
    """Fail in one sentence if nothing can be read.

    Ray Data hangs without a word where S3 denies access (ray#57278), so ask before it does.

    Raises:
        StorageError: nothing is there, missing bucket, denied key, unreachable endpoint.
    """
    with contextlib.suppress(PermissionError):  # a role that may read below a prefix and not it
        if holds_something(uri, argument) or exists(uri):
            return
    raise StorageError(f"{argument} {uri} holds nothing: check the prefix")


def require_store(uri: str, argument: str) -> None:
    """Fail in one sentence if the bucket cannot be reached.

    Raises:
        StorageError: see `require_readable`.
    """
    holds_something(uri, argument)
