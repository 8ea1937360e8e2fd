"""Objects of S3, Google's and Azure's stores: one GET an image and no HEAD, one put an output file.

Credentials, region and endpoint come from the standard variables of each: see `clients`.
"""

import contextlib
import io
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import obstore
from obstore import exceptions as obstore_errors

from model.errors import StorageError
from pipelines.storage.clients import client_of, s3_files
from pipelines.storage.entries import IMAGE_SUFFIXES, FileEntry, has_image_name, is_hidden
from pipelines.storage.probing import holds_something
from pipelines.storage.store_errors import as_os_errors
from pipelines.storage.uris import is_archive_name, split_bucket

READS_AHEAD: bool = True
# Not every store honours "only if it is not there"; two writers see each other's object then.
SETTLE_S: float = 0.5
_ONE_PUT_BYTES = 32 * 2**20  # 120 s at 2 Mbit/s; shards are smaller, data set files are not
_CHUNK_BYTES = 32 * 2**20
_READ_BYTES = 2**20  # as obstore's reader asks for
_PAGE = 1000  # keys a request gives at most
_ODD_KEY = "object with invalid path"  # what obstore says of a whole listing with one key like a//b


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


def is_folder(uri: str) -> bool:
    """Whether it is a prefix: with a slash at its end, or not named like an image or an archive."""
    return not (is_archive_name(uri) or os.path.splitext(uri)[1].lower() in IMAGE_SUFFIXES)


def files(uri: str, descend: bool, with_gaps: bool = False) -> Iterator[FileEntry]:
    """The objects below a prefix, or the object that `uri` is; a store's listing has no gaps."""
    del with_gaps
    yield from _below(uri, descend) if is_folder(uri) else _object(uri)


def folders(uri: str) -> list[str]:
    """The prefixes one level below `uri`; none where its first page holds files alone.

    Stores list folders only together with the files beside them, and the driver shall not hold a
    million of those: a flat prefix is recognised by its first 1,000 keys.
    """
    root = _root(uri)
    store, prefix = client_of(uri)
    depth = uri.rstrip("/").count("/") - 1  # s3://b/p is 3 slashes; a key p/x holds 1
    with as_os_errors(uri):
        try:
            first: Any = next(iter(obstore.list(store, prefix or None, chunk_size=_PAGE)), ())
            if len(first) >= _PAGE and all(item["path"].count("/") < depth for item in first):
                return []
            prefixes = obstore.list_with_delimiter(store, prefix or None)["common_prefixes"]
        except obstore_errors.BaseError as error:
            if _ODD_KEY in str(error):
                return []  # see `_keys_as_they_are`
            raise
    names = [name.rstrip("/") for name in prefixes]
    if not all(names):
        return []  # keys that begin with a slash: see `_keys_as_they_are`
    # With its slash, so that a folder named IMG_1.jpg is not taken for an image.
    return [f"{root}{n}/" for n in names if not os.path.basename(n).startswith(".")]


def _root(uri: str) -> str:
    """`s3://bucket/` of any URI in it."""
    return f"{uri.partition('://')[0]}://{split_bucket(uri)[0]}/"


def _below(uri: str, descend: bool) -> Iterator[FileEntry]:
    root, prefix = _root(uri), split_bucket(uri.rstrip("/"))[1]
    last = ""
    with as_os_errors(uri):
        if prefix or not (_is_s3(root) and _begins_a_key(root, "/")):
            try:
                for (key, size, etag), (after, *_) in itertools.pairwise(
                    itertools.chain(_keys(uri, descend), [("", 0, None)])
                ):
                    # A console's folders are objects of no bytes; obstore cuts their slash.
                    marker = not size and (
                        after.startswith(f"{key}/") or _is_folder_marker(root, key)
                    )
                    if not is_hidden(key[len(prefix) :]) and not marker:
                        yield _entry(root, key, size, etag)
                    last = key
                return
            except obstore_errors.BaseError as error:
                if _ODD_KEY not in str(error):
                    raise
        if not _is_s3(root):
            raise StorageError(
                f"{uri} holds a key with //, /./ or /../, which the client of this store cannot "
                "list: rename that object, or give prefixes without it"
            )
        for key, size, etag in _keys_as_they_are(root, prefix, descend, last):
            if not is_hidden(key[len(prefix) :]) and (size or not key.endswith("/")):
                yield _entry(root, key, size, etag)


def _is_s3(root: str) -> bool:
    return root.startswith("s3://")


def _is_folder_marker(root: str, key: str) -> bool:
    """Whether an object of no bytes, and no image's name, is an empty folder's: its key has a /."""
    if has_image_name(key):
        return False
    if not _is_s3(root):  # there nobody can ask; folders have no suffix
        return not os.path.splitext(key)[1]
    return _begins_a_key(root, f"{key}/")


def _begins_a_key(root: str, prefix: str) -> bool:
    """Whether a key of an S3 bucket begins so, as it is: obstore cuts slashes at both ends."""
    request = {"Bucket": split_bucket(root)[0], "Prefix": prefix, "MaxKeys": 1}
    with contextlib.suppress(OSError):  # who may not ask may not read it either
        return bool(s3_files().call_s3("list_objects_v2", **request).get("Contents"))
    return False


def _keys(uri: str, descend: bool) -> Iterator[tuple[str, int, str | None]]:
    """(key, bytes, ETag) below a prefix, in the store's order."""
    store, prefix = client_of(uri)
    if descend:
        chunks: Any = obstore.list(store, prefix or None, chunk_size=_PAGE)
    else:
        chunks = [obstore.list_with_delimiter(store, prefix or None)["objects"]]
    for chunk in chunks:
        for item in chunk:
            yield item["path"], item["size"], item["e_tag"]


def _keys_as_they_are(
    root: str, prefix: str, descend: bool, after: str
) -> Iterator[tuple[str, int, str | None]]:
    """The same from behind the key `after` on, through s3fs.

    obstore refuses to list a bucket that holds one key with `//` in it, and cuts off outer slashes;
    reading such a key will give a row of the quarantine, the others are listed by this.
    """
    request: dict[str, Any] = {"Bucket": split_bucket(root)[0], "Prefix": prefix and f"{prefix}/"}
    request |= {"StartAfter": after} if after else {}
    request |= {} if descend else {"Delimiter": "/"}
    client: Any = s3_files()
    while True:
        page = client.call_s3("list_objects_v2", **request)
        for item in page.get("Contents", []):
            yield item["Key"], item["Size"], item.get("ETag")
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _object(uri: str) -> Iterator[FileEntry]:
    """The object that `uri` is, or what lies below a prefix that is named like an image."""
    root = _root(uri)
    store, key = client_of(uri)
    try:
        with as_os_errors(uri):
            metadata: Any = obstore.head(store, key)
    except FileNotFoundError:
        yield from _below(uri, descend=True)
    else:
        yield _entry(root, metadata["path"], metadata["size"], metadata["e_tag"])


def _entry(root: str, key: str, size: int, etag: str | None) -> FileEntry:
    return FileEntry(f"{root}{key}", size, (etag or "").strip('"') or None)


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
