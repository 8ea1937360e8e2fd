"""What a listing is made of, and what is wrong with one file alone; which names are images'."""

import dataclasses
import os

from pipelines.storage.uris import is_row, is_web

__all__ = ["IMAGE_SUFFIXES", "FileEntry", "has_image_name", "is_hidden", "is_web"]

IMAGE_SUFFIXES = frozenset(
    [
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif",
        ".heic", ".heif",
    ]
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FileEntry:
    """One input of a listing.

    Attributes:
        uri: of a file, or of a member: `faces.zip#folder/name.jpg`, `faces.parquet#17`.
        bytes: its size, None where only reading it tells.
        etag: changes when the file does.
        offset: where an archive's member is, as its kind counts: bytes, or rows.
        unit: shared by inputs that follow one another and are read in one piece; None: by itself.
    """

    uri: str
    bytes: int | None
    etag: str | None
    offset: int | None = None
    unit: str | None = None


def has_image_name(uri: str) -> bool:
    """Whether the base name ends like an image's, in any case; a row's picture has no name."""
    return os.path.splitext(uri)[1].lower() in IMAGE_SUFFIXES or is_row(uri)


def is_hidden(below: str) -> bool:
    """Whether a name below a root, or a folder on its way, begins with a dot."""
    return any(part[:1] == "." and part not in (".", "..") for part in below.split("/"))


class ReadFailure(Exception):
    """One file that is not there or may not be read: a quarantine row.

    Attributes:
        reason: `not_found`, `denied`, `not_a_file`, `file_too_large`, `bad_key`, `bad_member`,
            `bad_uri`, `unreachable`, `unreadable`, `timeout`.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Keep `reason` (for grouping) beside `message` (for a person)."""
        super().__init__(message)
        self.reason = reason
