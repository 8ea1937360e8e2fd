"""What lies below a prefix of an object store; streamed."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import Any

import obstore
from obstore import exceptions as obstore_errors

from model.errors import StorageError
from pipelines.storage.clients import client_of
from pipelines.storage.entries import IMAGE_SUFFIXES, FileEntry, has_image_name, is_hidden
from pipelines.storage.s3_client import s3_files
from pipelines.storage.store_errors import as_os_errors
from pipelines.storage.uris import is_archive_name, split_bucket

_PAGE = 1000  # keys a request gives at most
_ODD_KEY = "object with invalid path"  # what obstore says of a whole listing with one key like a//b


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
    with as_os_errors(uri):
        try:
            first: Any = next(iter(obstore.list(store, prefix or None, chunk_size=_PAGE)), ())
        except obstore_errors.BaseError as error:
            if _ODD_KEY in str(error):
                return []  # see `_keys_as_they_are`
            raise
        depth = uri.rstrip("/").count("/") - 1  # s3://b/p is 3 slashes; a key p/x holds 1
        if len(first) >= _PAGE and all(item["path"].count("/") < depth for item in first):
            return []
        try:
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
        if prefix or not _has_slash_keys(root):
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
    request = {"Bucket": split_bucket(root)[0], "Prefix": f"{key}/", "MaxKeys": 1}
    with contextlib.suppress(OSError):  # who may not ask is told of a file that is none
        return bool(s3_files().call_s3("list_objects_v2", **request).get("Contents"))
    return False


def _has_slash_keys(root: str) -> bool:
    """Whether keys begin with a slash: obstore would list them without it, as other objects."""
    if not _is_s3(root):
        return False
    request = {"Bucket": split_bucket(root)[0], "Prefix": "/", "MaxKeys": 1}
    with contextlib.suppress(OSError):  # who may not ask may not read them either
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
