"""What files are there: below a folder or an s3:// prefix, or inside a tar; streamed."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import Any

import obstore
from obstore import exceptions as obstore_errors

from model.errors import StorageError, UsageError
from pipelines import storage
from pipelines.storage.archives import list_tar
from pipelines.storage.entries import IMAGE_SUFFIXES, FileEntry, has_image_name, is_hidden

__all__ = [
    "FileEntry",
    "has_image_name",
    "is_folder",
    "is_tar",
    "list_files",
    "list_roots",
    "require_apart",
]

_S3_PAGE = 1000  # keys an S3 request gives at most
_ODD_KEY = "object with invalid path"  # what obstore says of a whole listing with one key like a//b


def list_files(uri: str, *, descend: bool = True, limit: int | None = None) -> Iterator[FileEntry]:
    """All files below a prefix or in a tar, or the one file that `uri` is; streamed.

    Hidden and temporary files are left out. Local folders come in name order; linked folders are
    not followed, so a loop of links ends.
    """
    if is_tar(uri):
        entries = list_tar(uri)
    elif uri.startswith("s3://"):
        entries = _list_s3(uri, descend) if is_folder(uri) else _list_object(uri)
    else:
        entries = _list_local(uri, descend)
    yield from itertools.islice(entries, limit)


def list_roots(uri: str) -> list[tuple[str, bool]]:
    """(prefix, whether to descend) pairs that together cover `uri`, to be listed in parallel."""
    if is_tar(uri) or not is_folder(uri):
        return [(uri, True)]
    if uri.startswith("s3://"):
        folders = _s3_folders(uri)
    else:
        try:
            with os.scandir(uri) as entries:
                folders = sorted(
                    entry.path
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
                )
        except PermissionError as error:
            _refuse_gap(error)
            raise
    return [(uri, False), *((folder, True) for folder in folders)] if folders else [(uri, True)]


def _s3_folders(uri: str) -> list[str]:
    """The prefixes one level below `uri`; none where its first page holds files alone.

    S3 lists folders only together with the files beside them, and the driver shall not hold a
    million of those: a flat prefix is told by its first 1,000 keys.
    """
    bucket, _ = storage.split_s3(uri)
    store, prefix = storage.s3_store(uri)
    with storage.plain_errors(uri):
        try:
            first: Any = next(iter(obstore.list(store, prefix or None, chunk_size=_S3_PAGE)), ())
        except obstore_errors.BaseError as error:
            if _ODD_KEY in str(error):
                return []  # see `_s3_keys_as_they_are`
            raise
        depth = uri.rstrip("/").count("/") - 1  # s3://b/p is 3 slashes; a key p/x holds 1
        if len(first) >= _S3_PAGE and all(item["path"].count("/") < depth for item in first):
            return []
        try:
            found = obstore.list_with_delimiter(store, prefix or None)["common_prefixes"]
        except obstore_errors.BaseError as error:
            if _ODD_KEY in str(error):
                return []  # see `_s3_keys_as_they_are`
            raise
    names = [name.rstrip("/") for name in found]
    if not all(names):
        return []  # keys that begin with a slash: see `_s3_keys_as_they_are`
    # With its slash, so that a folder named IMG_1.jpg is not taken for an image.
    return [f"s3://{bucket}/{n}/" for n in names if not os.path.basename(n).startswith(".")]


def require_apart(images: str, output: str) -> None:
    """Refuse an output that would itself be listed as images, now or by the next run.

    Raises:
        UsageError: `output` is `images` or lies below it.
    """
    folder = images.rstrip("/") + "/"
    if f"{output.rstrip('/')}/".startswith(folder):
        raise UsageError(
            f"`output` {output} lies in `images` {images}, so what is written would be read as "
            "images: choose a place beside it"
        )


def is_tar(uri: str) -> bool:
    """Whether `uri` is a file named .tar."""
    return uri.endswith(".tar") and not os.path.isdir(uri)


def is_folder(uri: str) -> bool:
    """Whether `uri` is a local folder, or an S3 prefix.

    That is one with a slash at its end, or anything that is not named like a tar or an image.
    """
    if uri.startswith("s3://"):
        return os.path.splitext(uri)[1].lower() not in IMAGE_SUFFIXES | {".tar"}
    return os.path.isdir(uri)


def _list_s3(uri: str, descend: bool) -> Iterator[FileEntry]:
    bucket, prefix = storage.split_s3(uri.rstrip("/"))
    last = ""
    with storage.plain_errors(uri):
        if prefix or not _has_slash_keys(bucket):
            try:
                for (key, size, etag), (after, *_) in itertools.pairwise(
                    itertools.chain(_s3_keys(uri, descend), [("", 0, None)])
                ):
                    # The S3 console's folders are objects of no bytes; obstore cuts their slash.
                    marker = not size and after.startswith(f"{key}/")
                    if not is_hidden(key[len(prefix) :]) and not marker:
                        yield _s3_entry(bucket, key, size, etag)
                    last = key
                return
            except obstore_errors.BaseError as error:
                if _ODD_KEY not in str(error):
                    raise
        for key, size, etag in _s3_keys_as_they_are(bucket, prefix, descend, last):
            if not is_hidden(key[len(prefix) :]) and (size or not key.endswith("/")):
                yield _s3_entry(bucket, key, size, etag)


def _has_slash_keys(bucket: str) -> bool:
    """Whether keys begin with a slash: obstore would list them without it, as other objects."""
    request = {"Bucket": bucket, "Prefix": "/", "MaxKeys": 1}
    with contextlib.suppress(OSError):  # who may not ask may not read them either
        return bool(storage.s3_files().call_s3("list_objects_v2", **request).get("Contents"))
    return False


def _s3_keys(uri: str, descend: bool) -> Iterator[tuple[str, int, str | None]]:
    """(key, bytes, ETag) below a prefix, in the store's order."""
    store, prefix = storage.s3_store(uri)
    if descend:
        chunks: Any = obstore.list(store, prefix or None, chunk_size=_S3_PAGE)
    else:
        chunks = [obstore.list_with_delimiter(store, prefix or None)["objects"]]
    for chunk in chunks:
        for item in chunk:
            yield item["path"], item["size"], item["e_tag"]


def _s3_keys_as_they_are(
    bucket: str, prefix: str, descend: bool, after: str
) -> Iterator[tuple[str, int, str | None]]:
    """The same from behind the key `after` on, through s3fs.

    obstore refuses to list a bucket that holds one key with `//` in it, and cuts off outer slashes;
    reading such a key will give a row of the quarantine, the others are listed by this.
    """
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix and f"{prefix}/"}
    request |= {"StartAfter": after} if after else {}
    request |= {} if descend else {"Delimiter": "/"}
    client: Any = storage.s3_files()
    while True:
        page = client.call_s3("list_objects_v2", **request)
        for item in page.get("Contents", []):
            yield item["Key"], item["Size"], item.get("ETag")
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _list_object(uri: str) -> Iterator[FileEntry]:
    """The object that `uri` is, or what lies below a prefix that is named like an image."""
    bucket, _ = storage.split_s3(uri)
    store, key = storage.s3_store(uri)
    try:
        with storage.plain_errors(uri):
            found: Any = obstore.head(store, key)
    except FileNotFoundError:
        yield from _list_s3(uri, descend=True)
    else:
        yield _s3_entry(bucket, found["path"], found["size"], found["e_tag"])


def _s3_entry(bucket: str, key: str, size: int, etag: str | None) -> FileEntry:
    return FileEntry(f"s3://{bucket}/{key}", size, (etag or "").strip('"') or None)


def _list_local(uri: str, descend: bool) -> Iterator[FileEntry]:
    if os.path.isfile(uri):
        yield _local_entry(uri)
        return
    for folder, folders, files in os.walk(uri, onerror=_refuse_gap):
        folders[:] = sorted(n for n in folders if descend and not n.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield _local_entry(os.path.join(folder, name))


def _refuse_gap(error: OSError) -> None:
    """A folder that cannot be read would be a silent gap in the inputs; one that is gone is not."""
    if not isinstance(error, FileNotFoundError):
        raise StorageError(
            f"{error.filename} cannot be listed ({error.strerror}), so its images would be lost: "
            "make it readable, or point `images` at folders that are"
        )


def _local_entry(path: str) -> FileEntry:
    try:
        path.encode()
    except UnicodeEncodeError:  # Parquet holds UTF-8; under this name it will not be found
        shown = os.fsencode(path).decode(errors="backslashreplace")
        return FileEntry(shown, 0, None)
    try:
        stat = os.stat(path)
    except OSError:  # a broken link is an input too: reading it will say what is wrong
        return FileEntry(path, 0, None)
    return FileEntry(path, stat.st_size, f"{stat.st_mtime_ns:x}-{stat.st_size:x}")
