"""What files are there: below a folder or an s3:// prefix, or inside a tar; streamed."""

import contextlib
import dataclasses
import itertools
import os
import tarfile
from collections.abc import Iterator
from typing import Any

import obstore

from model.errors import StorageError
from pipelines import storage

_S3_PAGE = 1000  # keys an S3 request gives at most

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
        with os.scandir(uri) as entries:
            folders = sorted(
                entry.path
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            )
    return [(uri, False), *((folder, True) for folder in folders)] if folders else [(uri, True)]


def _s3_folders(uri: str) -> list[str]:
    """The prefixes one level below `uri`; none where its first page holds files alone.

    S3 lists folders only together with the files beside them, and the driver shall not hold a
    million of those: a flat prefix is told by its first 1,000 keys.
    """
    bucket, _ = storage.split_s3(uri)
    store, prefix = storage.s3_store(uri)
    with storage.plain_errors(uri):
        first: Any = next(iter(obstore.list(store, prefix or None, chunk_size=_S3_PAGE)), ())
        depth = uri.rstrip("/").count("/") - 1  # s3://b/p is 3 slashes; a key p/x holds 1
        if len(first) >= _S3_PAGE and all(item["path"].count("/") < depth for item in first):
            return []
        found = obstore.list_with_delimiter(store, prefix or None)["common_prefixes"]
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

    Raises:
        StorageError: it is not a tar, or a compressed one.
    """
    with storage.plain_errors(uri), contextlib.ExitStack() as stack:
        if uri.startswith("s3://"):
            store, key = storage.s3_store(uri)
            file: Any = obstore.open_reader(store, key)
        else:
            file = stack.enter_context(open(uri, "rb"))
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    if member.isfile() and not os.path.basename(member.name).startswith("."):
                        etag = f"{int(member.mtime):x}-{member.size:x}"
                        name = f"{uri}#{member.name}"
                        yield FileEntry(name, member.size, etag, member.offset_data)
        except tarfile.TarError as error:
            raise StorageError(
                f"{uri} is not an uncompressed tar ({error}): unpack it, or repack it with tar -cf"
            ) from None


def _list_s3(uri: str, descend: bool) -> Iterator[FileEntry]:
    bucket, _ = storage.split_s3(uri)
    store, prefix = storage.s3_store(uri)
    with storage.plain_errors(uri):
        if descend:
            chunks: Any = obstore.list(store, prefix or None, chunk_size=_S3_PAGE)
        else:
            chunks = [obstore.list_with_delimiter(store, prefix or None)["objects"]]
        for chunk in chunks:
            for item in chunk:
                below = item["path"][len(prefix) :]
                if not below.startswith(".") and "/." not in below:
                    yield _s3_entry(bucket, item)


def _list_object(uri: str) -> Iterator[FileEntry]:
    bucket, _ = storage.split_s3(uri)
    store, key = storage.s3_store(uri)
    with contextlib.suppress(FileNotFoundError), storage.plain_errors(uri):
        yield _s3_entry(bucket, obstore.head(store, key))


def _s3_entry(bucket: str, item: Any) -> FileEntry:
    etag = (item["e_tag"] or "").strip('"') or None
    return FileEntry(f"s3://{bucket}/{item['path']}", item["size"], etag)


def _list_local(uri: str, descend: bool) -> Iterator[FileEntry]:
    if os.path.isfile(uri):
        yield _local_entry(uri)
    for folder, folders, files in os.walk(uri):
        folders[:] = sorted(n for n in folders if descend and not n.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield _local_entry(os.path.join(folder, name))


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
