"""Files whose members are inputs: tars, .tar.gz, .zip, Parquet with pictures, a CSV of pixels.

A member has the URI of its file, a `#`, and its name there, or the number of its row.
"""

import os
import shlex
import threading
from collections.abc import Iterator
from typing import Any

from model.errors import StorageError
from pipelines import storage
from pipelines.storage.entries import FileEntry, ReadFailure
from pipelines.storage.parquet_rows import ForwardRows, list_rows
from pipelines.storage.pixel_tables import ForwardPixels
from pipelines.storage.store_errors import as_os_errors
from pipelines.storage.tars import DAMAGED, is_gzipped, list_tar, open_tar
from pipelines.storage.zips import list_zip, read_zip_member

OTHER_KIND = "of a kind that is not read"
_PART = 1 << 20  # of a member that are unpacked at once
_UNPACKERS = (  # ends of names, what brings the pictures out, and what comes of it
    ((".tar.bz2", ".tbz2", ".tbz"), "bunzip2 -c {0} > faces.tar", "that .tar"),
    ((".tar.xz", ".txz"), "xz -dc {0} > faces.tar", "that .tar"),
    ((".tar.zst", ".tzst"), "zstd -dc {0} > faces.tar", "that .tar"),
    ((".zipx",), "7z x {0} -ofaces", "that folder"),
    ((".7z",), "7z x {0} -ofaces", "that folder"),
    ((".rar",), "unrar x {0} faces/", "that folder"),
    # Hugging Face's own files: the second is what its `save_to_disk` leaves
    (
        (".arrow",),
        'python -c "import datasets; '
        "datasets.Dataset.from_file('{1}').to_parquet('faces.parquet')\"",
        "that .parquet",
    ),
)
# What frameworks keep pictures in; a few lines of the same framework write them elsewhere.
_CONTAINERS = (
    ".tfrecord", ".tfrecords", ".tfrec", ".lmdb", ".mdb", ".h5", ".hdf5", ".npz", ".npy", ".rec",
    ".feather", ".msgpack", ".beton", ".mds",
)  # fmt: skip


def how_to_unpack(uri: str) -> str | None:
    """What to do with an archive that cannot be read as it is, by its name; None for others."""
    name = uri.rpartition("/")[2]
    for ends, command, made in _UNPACKERS:
        if name.lower().endswith(ends):
            shown = command.format(shlex.quote(name), name.replace("'", "\\'"))
            return f"unpack it, for example with `{shown}`, and give {made}"
    if name.lower().endswith(_CONTAINERS):
        return (
            "write its images to files, to a .tar or to a binary column of a Parquet file, with a "
            "few lines of Python"
        )
    return None


def of_another_kind(uri: str, advice: str) -> StorageError:
    """What to say of an archive that is given as images."""
    return StorageError(f"{uri} is {OTHER_KIND}: {advice}")


def list_archive(file: FileEntry) -> Iterator[FileEntry]:
    """The members of an archive, or the file itself where it is Parquet without pictures.

    Raises:
        StorageError: it is damaged; see `list_tar`, `list_zip` and `list_rows`.
    """
    name = file.uri.lower()
    if name.endswith(".zip"):
        return list_zip(file.uri)
    return list_rows(file) if name.endswith(".parquet") else list_tar(file.uri)


def is_streamed(uri: str) -> bool:
    """Whether it is a member that is read in the order of its archive, one after the other."""
    file = storage.file_of(uri)
    return file != uri and (is_gzipped(file) or file.lower().endswith((".parquet", ".csv")))


def read_member(uri: str, offset: int, size: int | None) -> bytes:
    """The bytes of an archive's member.

    Args:
        uri: of the member.
        offset: as its listing says.
        size: of the member, unpacked; None where the listing does not say.

    Raises:
        ReadFailure: it cannot be read, and the archive can.
        OSError: the store fails.
    """
    file = storage.file_of(uri)
    if is_streamed(uri):
        return _STREAM.read(file, uri, offset, size or 0)
    if file.lower().endswith(".zip"):
        return read_zip_member(file, uri, offset, size or 0)
    return storage.read_bytes(file, offset, size or 0)


class _Stream:
    """The one archive that this process reads from its start to its end, and where it stands.

    Kept between calls: the members of a shard are asked for one by one, in their order.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[str, str | None] = ("", None)
        self._open: Any = None
        self._lost: tuple[tuple[str, str | None], int, OSError] | None = None

    def give_up_rest(self, file: str, offset: int, error: OSError) -> None:
        """Raise `error` for what lies from `offset` on, and try no more."""
        self._lost = ((file, _state(file)), offset, error)

    def read(self, file: str, uri: str, offset: int, size: int) -> bytes:
        with self._lock:
            key = (file, _state(file))
            if self._lost is not None and self._lost[0] == key and offset >= self._lost[1]:
                raise self._lost[2]
            if self._open is None or key != self._key:
                self.close()
                with as_os_errors(file):
                    self._open = _opened(file)
                self._key = key
            try:
                return self._read(uri, offset, size)
            except ReadFailure:
                raise
            except BaseException:  # where it stands now nobody knows
                self.close()
                raise

    def _read(self, uri: str, offset: int, size: int) -> bytes:
        if isinstance(self._open, ForwardRows | ForwardPixels):
            return self._open.read(offset)
        with as_os_errors(self._key[0]):
            try:
                self._open.seek(offset)
                parts = [self._open.read(min(_PART, size - at)) for at in range(0, size, _PART)]
            except DAMAGED as error:
                raise ReadFailure("bad_member", f"{uri} cannot be unpacked: {error}") from None
        data = b"".join(parts)
        if len(data) < size:
            raise ReadFailure("bad_member", f"{uri} is cut off")
        return data

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open = None


_STREAM = _Stream()


def give_up_rest(uri: str, offset: int, error: OSError) -> None:
    """Remember that the disk does not give a .tar.gz from a member on: nobody can get past it."""
    if is_gzipped(storage.file_of(uri)):
        _STREAM.give_up_rest(storage.file_of(uri), offset, error)


def _opened(file: str) -> Any:
    if file.lower().endswith(".parquet"):
        return ForwardRows(file)
    return ForwardPixels(file) if file.lower().endswith(".csv") else open_tar(file)


def _state(file: str) -> str | None:
    """What changes when a local archive is replaced; a store's is taken to stay as it was."""
    if not storage.is_local(file):
        return None
    status = os.stat(file)
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"
