"""What files are there: below a folder or a prefix, and inside archives; streamed."""

import itertools
from collections.abc import Iterator

from model.errors import UsageError
from pipelines import storage
from pipelines.storage.archives import OTHER_KIND, how_to_unpack, list_archive, of_another_kind
from pipelines.storage.entries import IMAGE_SUFFIXES, FileEntry, has_image_name
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
    "is_list",
    "list_files",
    "list_roots",
    "require_apart",
]


def list_files(uri: str, *, descend: bool = True, limit: int | None = None) -> Iterator[FileEntry]:
    """All files below a prefix or in an archive, or the one file that `uri` is; streamed.

    An archive below a folder is read as its members. Hidden and temporary files are left out. Local
    folders come in name order; linked folders are not followed, so a loop of links ends.

    Raises:
        StorageError: `uri` is an archive of another kind; or one is damaged, see `list_archive`.
    """
    yield from itertools.islice(_entries(uri, descend), limit)


def _entries(uri: str, descend: bool) -> Iterator[FileEntry]:
    if is_list(uri):
        yield from list_pixels(uri) if is_pixel_table(uri) else list_uris(uri)
        return
    advice = how_to_unpack(uri)
    if advice is not None and _is_file(uri):
        raise of_another_kind(uri, advice)
    for entry in storage.store_of(uri).files(uri, descend):
        if is_archive_name(entry.uri):
            yield from list_archive(entry)
        else:
            yield entry


def _is_file(uri: str) -> bool:
    return storage.exists(uri)


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
        return _is_file(uri) if storage.is_local(uri) else storage.exists(uri)
    return (
        uri.lower().endswith(".parquet")
        and is_archive(uri)
        and _is_file(uri)
        and (is_parquet_list(uri))
    )


def is_folder(uri: str) -> bool:
    """Whether `uri` is a local folder, or an S3 prefix.

    That is one with a slash at its end, or anything that is not named like an archive or an image.
    """
    return storage.store_of(uri).is_folder(uri)
