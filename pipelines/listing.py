"""What files are there: below a folder or an s3:// prefix, or inside a tar; streamed."""

import contextlib
import dataclasses
import itertools
import os
import tarfile
from collections.abc import Iterator
from typing import Any

import obstore
from obstore import exceptions as obstore_errors

from model.errors import StorageError
from pipelines import storage

_LOST = "{} {}, and what comes after would be lost: copy it again, or repack it with tar -cf"
_TAR_FILLING = 64 * 1024  # tar fills up to 10 KiB; a lost member starts at once
_S3_PAGE = 1000  # keys an S3 request gives at most
_ODD_KEY = "object with invalid path"  # what obstore says of a whole listing with one key like a//b

IMAGE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".avif",
        ".heic",
        ".heif",
    ]
)


@dataclasses.dataclass(frozen=True)
class FileEntry:
    """One file of a listing; `etag` changes when the file does, `offset` places a tar's member."""

    uri: str
    bytes: int
    etag: str | None
    offset: int | None = None


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
    names = (name.rstrip("/") for name in found)
    return [f"s3://{bucket}/{n}" for n in names if not os.path.basename(n).startswith(".")]


def has_image_name(uri: str) -> bool:
    """Whether the base name ends like an image's, in any case."""
    return os.path.splitext(uri)[1].lower() in IMAGE_SUFFIXES


def is_tar(uri: str) -> bool:
    """Whether `uri` is a file named .tar."""
    return uri.endswith(".tar") and not os.path.isdir(uri)


def is_folder(uri: str) -> bool:
    """Whether `uri` is a local folder, or an S3 prefix (anything that is not a tar or an image)."""
    if uri.startswith("s3://"):
        return os.path.splitext(uri)[1].lower() not in IMAGE_SUFFIXES | {".tar"}
    return os.path.isdir(uri)


def list_tar(uri: str) -> Iterator[FileEntry]:
    """The files inside an uncompressed tar, each readable in one ranged GET.

    A name that stands in it twice is two inputs: from the second on its URI ends in `@` and its
    place. Links are left out: what they lead to is listed itself.

    Raises:
        StorageError: it is not a tar, a compressed one, or its end is missing or damaged.
    """
    seen = set[int]()
    with storage.plain_errors(uri), contextlib.ExitStack() as stack:
        if uri.startswith("s3://"):
            store, key = storage.s3_store(uri)
            file: Any = _Plain(obstore.open_reader(store, key))
        else:
            file = stack.enter_context(open(uri, "rb"))
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    if member.isfile() and not os.path.basename(member.name).startswith("."):
                        etag = f"{int(member.mtime):x}-{member.size:x}"
                        name = f"{uri}#{member.name}"
                        if hash(name) in seen:
                            name = f"{name}@{member.offset_data}"
                        seen.add(hash(name))
                        yield FileEntry(name, member.size, etag, member.offset_data)
                _require_end(file, tar.offset, uri)
        except tarfile.TarError as error:
            if seen:
                raise StorageError(_LOST.format(uri, f"is cut off ({error})")) from None
            raise StorageError(
                f"{uri} is not an uncompressed tar ({error}): unpack it, or repack it with tar -cf"
            ) from None


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
        what = "is damaged, or two in one," if block else "is cut off"
        raise StorageError(_LOST.format(uri, f"{what} at byte {offset:,}"))


class _Plain:
    """A reader of obstore's whose bytes are Python's, which tarfile wants."""

    def __init__(self, reader: Any) -> None:
        self.reader, self.seek, self.tell = reader, reader.seek, reader.tell

    def read(self, size: int) -> bytes:
        return bytes(self.reader.read(size))


def _list_s3(uri: str, descend: bool) -> Iterator[FileEntry]:
    bucket, prefix = storage.split_s3(uri)
    last = ""
    with storage.plain_errors(uri):
        try:
            for key, size, etag in _s3_keys(uri, descend):
                last = key
                if not _is_hidden(key[len(prefix) :]):
                    yield _s3_entry(bucket, key, size, etag)
        except obstore_errors.BaseError as error:
            if _ODD_KEY not in str(error):
                raise
        else:
            return
        for key, size, etag in _s3_keys_as_they_are(bucket, prefix, descend, last):
            if not _is_hidden(key[len(prefix) :]) and not key.endswith("/"):
                yield _s3_entry(bucket, key, size, etag)


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

    obstore refuses to list a bucket that holds one key with `//` in it; reading that key will give
    a row of the quarantine, the others are listed by this.
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


def _is_hidden(below: str) -> bool:
    return below.startswith(".") or "/." in below


def _list_object(uri: str) -> Iterator[FileEntry]:
    bucket, _ = storage.split_s3(uri)
    store, key = storage.s3_store(uri)
    with contextlib.suppress(FileNotFoundError), storage.plain_errors(uri):
        found: Any = obstore.head(store, key)
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
            "make it readable, or point --images at folders that are"
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
