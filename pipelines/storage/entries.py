"""What a listing is made of: a file and its place; which names are images' and which are hidden."""

import dataclasses
import os

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


def has_image_name(uri: str) -> bool:
    """Whether the base name ends like an image's, in any case."""
    return os.path.splitext(uri)[1].lower() in IMAGE_SUFFIXES


def is_hidden(below: str) -> bool:
    """Whether a name below a root, or a folder on its way, begins with a dot."""
    return any(part[:1] == "." and part not in (".", "..") for part in below.split("/"))
