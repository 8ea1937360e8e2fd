"""What files are there: below a folder or an s3:// prefix, or inside a tar; streamed."""

import itertools
from collections.abc import Iterator

from model.errors import UsageError
from pipelines import storage
from pipelines.storage.archives import list_tar
from pipelines.storage.entries import IMAGE_SUFFIXES, FileEntry, has_image_name

__all__ = [
    "IMAGE_SUFFIXES",
    "FileEntry",
    "has_image_name",
    "is_folder",
    "is_tar",
    "list_files",
    "list_roots",
    "require_apart",
]


def list_files(uri: str, *, descend: bool = True, limit: int | None = None) -> Iterator[FileEntry]:
    """All files below a prefix or in a tar, or the one file that `uri` is; streamed.

    Hidden and temporary files are left out. Local folders come in name order; linked folders are
    not followed, so a loop of links ends.
    """
    entries = list_tar(uri) if is_tar(uri) else storage.store_of(uri).files(uri, descend)
    yield from itertools.islice(entries, limit)


def list_roots(uri: str) -> list[tuple[str, bool]]:
    """(prefix, whether to descend) pairs that together cover `uri`, to be listed in parallel."""
    if is_tar(uri) or not is_folder(uri):
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
            f"`output` {output} lies in `images` {images}, so what is written would be read as "
            "images: choose a place beside it"
        )


def is_tar(uri: str) -> bool:
    """Whether `uri` is a file named .tar."""
    return uri.endswith(".tar") and not (storage.is_local(uri) and is_folder(uri))


def is_folder(uri: str) -> bool:
    """Whether `uri` is a local folder, or an S3 prefix.

    That is one with a slash at its end, or anything that is not named like a tar or an image.
    """
    return storage.store_of(uri).is_folder(uri)
