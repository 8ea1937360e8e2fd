"""What files are there: below a folder or a prefix, and inside archives; streamed."""

import collections
import itertools
import os
from collections.abc import Callable, Iterator

from model.errors import StorageError, UsageError, describe_os_error
from pipelines import storage
from pipelines.storage.archives import OTHER_KIND, how_to_unpack, list_archive, of_another_kind
from pipelines.storage.entries import IMAGE_SUFFIXES, FileEntry, has_image_name
from pipelines.storage.fetching import is_disk_readable
from pipelines.storage.pixel_tables import is_pixel_table, list_pixels
from pipelines.storage.uri_lists import is_list_name, is_parquet_list, list_uris
from pipelines.storage.uris import is_archive_name

__all__ = [
    "IMAGE_SUFFIXES",
    "OTHER_KIND",
    "FileEntry",
    "has_image_name",
    "how_to_unpack",
    "is_archive",
    "is_folder",
    "is_gap",
    "is_list",
    "list_files",
    "list_roots",
    "require_apart",
    "why_gap",
]


def list_files(
    uri: str,
    *,
    descend: bool = True,
    limit: int | None = None,
    leave_out: Callable[[str], bool] | None = None,
    lines: "collections.Counter[str] | None" = None,
) -> Iterator[FileEntry]:
    """All files below a prefix or in an archive, or the one file that `uri` is; streamed.

    An archive below a folder is read as its members. Hidden and temporary files are left out. Local
    folders come in name order; linked folders are not followed, so a loop of links ends.
    What cannot be listed below a folder is an entry itself: see `is_gap`. So is an archive that is
    left out (`leave_out`): it is not opened. What a list holds beside its inputs is counted in
    `lines`.

    Raises:
        StorageError: `uri` is an archive of another kind, or a damaged one: see `list_archive`.
    """
    lines = collections.Counter[str]() if lines is None else lines
    yield from itertools.islice(_entries(uri, descend, leave_out, lines), limit)


def _entries(
    uri: str,
    descend: bool,
    leave_out: Callable[[str], bool] | None,
    lines: "collections.Counter[str]",
) -> Iterator[FileEntry]:
    if is_list(uri):
        yield from list_pixels(uri) if is_pixel_table(uri) else list_uris(uri, lines)
        return
    advice = how_to_unpack(uri)
    if advice is not None and storage.exists(uri):
        raise of_another_kind(uri, advice)
    for entry in storage.store_of(uri).files(uri, descend, with_gaps=True):
        if not is_archive_name(entry.uri) or (leave_out and leave_out(entry.uri)):
            yield entry
        elif entry.uri == uri:
            yield from list_archive(entry)
        else:
            yield from _members(entry)


def _members(archive: FileEntry) -> Iterator[FileEntry]:
    """The members of an archive in a folder, and the archive itself where not all can be listed."""
    try:
        yield from list_archive(archive)
    except (StorageError, OSError) as error:
        if not _is_about(archive.uri, error):
            raise
        yield FileEntry(archive.uri, archive.bytes, archive.etag)


def _is_about(uri: str, error: Exception) -> bool:
    """Whether an error is about one archive, and not about its disk or its store."""
    if isinstance(error, StorageError):
        return True
    if not storage.is_local(uri):
        return False
    return isinstance(error, PermissionError) or is_disk_readable({"uri": uri})


def is_gap(uri: str) -> bool:
    """Whether an entry of a listing may be a folder or an archive that could not be listed."""
    return uri.endswith("/") or (is_archive_name(uri) and storage.file_of(uri) == uri)


def why_gap(uri: str) -> str | None:
    """Why an entry of a listing is a folder or an archive and not what is in it, asked anew.

    None where it is neither, or Parquet without pictures.

    Raises:
        OSError: the store fails.
    """
    if not is_gap(uri):
        return None
    try:
        if uri.endswith("/"):
            with os.scandir(uri):
                pass
        elif [entry.uri for entry in itertools.islice(_all_of(uri), 1)] == [uri]:
            return None
    except (StorageError, OSError) as error:
        if not uri.endswith("/") and not _is_about(uri, error):
            raise
        told = describe_os_error(error) if isinstance(error, OSError) else str(error)
        return f"it cannot be listed, and its images are not scored: {told}"
    return "it could not be listed when the run began, and can be now: list the images again"


def _all_of(uri: str) -> Iterator[FileEntry]:
    """The members of an archive, of which the last has been listed before the first is given."""
    return iter(collections.deque(list_archive(FileEntry(uri, None, None)), maxlen=1))


def list_roots(uri: str) -> list[tuple[str, bool]]:
    """(prefix, whether to descend) pairs that together cover `uri`, to be listed in parallel."""
    if is_archive(uri) or is_list(uri) or not is_folder(uri):
        return [(uri, True)]
    folders = storage.store_of(uri).folders(uri)
    return [(uri, False), *((folder, True) for folder in folders)] if folders else [(uri, True)]


def require_apart(images: str, output: str) -> None:
    """Refuse an output that would itself be listed as images, now or by the next run.

    Raises:
        UsageError: `output` is `images` or lies below it.
    """
    folder = images.rstrip("/") + "/"
    if f"{output.rstrip('/')}/".startswith(folder):
        raise UsageError(
            f"`output` {output} lies in `images` {images}, so its files would become inputs: "
            "choose an output outside of it"
        )


def is_archive(uri: str) -> bool:
    """Whether `uri` is named like a file that is read as its members, and is no folder."""
    return is_archive_name(uri) and not (storage.is_local(uri) and is_folder(uri))


def is_list(uri: str) -> bool:
    """Whether `uri` is a file that names images, each by a uri of any kind."""
    if is_list_name(uri):
        return storage.exists(uri)
    is_parquet = uri.lower().endswith(".parquet") and is_archive(uri)
    return is_parquet and storage.exists(uri) and is_parquet_list(uri)


def is_folder(uri: str) -> bool:
    """Whether `uri` is a local folder, or an S3 prefix.

    That is one with a slash at its end, or anything that is not named like an archive or an image.
    """
    return storage.store_of(uri).is_folder(uri)
