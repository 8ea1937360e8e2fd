"""Files of this machine: put in place by a synced temporary file and a rename."""

import contextlib
import errno
import io
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, Any

from model.errors import StorageError
from pipelines.storage.entries import FileEntry
from pipelines.storage.timed_reads import TimedFile, within

READS_AHEAD: bool = False  # a disk answers at once
SETTLE_S: float = 0.0  # os.link says for certain who was first
_MAX_BYTES = 8 << 30  # of a file that is held whole: labels of 100 million images have 5 GB
_MAX_BYTES_UNSAID = 1 << 30  # of one that is longer than it says
_PART_BYTES = 1 << 16
_SETTLE_WITHOUT_LINKS_S = 0.5
# What disks answer that cannot do a thing at all: exFAT, SMB, sshfs, gcsfuse, s3fs-fuse, BeeGFS.
_NOT_HERE = {
    errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EEXIST,
}  # fmt: skip


def read(uri: str, offset: int | None, length: int | None) -> bytes:
    """All bytes, or `length` of them from `offset` on.

    Raises:
        FileNotFoundError: it is not there.
        StorageError: it is a pipe or a device, or too large to be held.
        OSError: the disk fails, or does not answer (TimeoutError).
    """
    return within(lambda: _read(uri, offset, length), uri)


def _read(uri: str, offset: int | None, length: int | None) -> bytes:
    if offset is None:
        return read_up_to(uri, _MAX_BYTES)
    with _present(uri), _opened(uri) as file:
        file.seek(offset)
        return file.read(length or 0)


def read_up_to(uri: str, max_bytes: int) -> bytes:
    """All bytes of a file; one that is longer than it says may be cut, a bit above `max_bytes`.

    Raises:
        OSError: as `read`, but without its time limit.
        StorageError: likewise; and it says that it is larger.
    """
    with _present(uri), _opened(uri) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise StorageError(
                f"{uri} has {size:,} bytes, and files are held whole up to {max_bytes:,}: split it"
            )
        parts = [file.read(size + 1)]
        # A file of /proc or of FUSE may be longer than it says, or have no end at all.
        known, limit = len(parts[0]), min(max_bytes, max(size, _MAX_BYTES_UNSAID))
        while size < known <= limit and (part := file.read(_PART_BYTES)):
            parts.append(part)
            known += len(part)
        if limit < known <= max_bytes:
            raise StorageError(
                f"{uri} holds more than 1 GiB, and its size is given as {size:,} bytes: is it a "
                "file that has no end?"
            )
        return b"".join(parts) if len(parts) > 1 else parts[0]


@contextlib.contextmanager
def _named(uri: str) -> Generator[None]:
    """Name the file in what is raised, as Python does for open, and not for read and write."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = uri
        raise


@contextlib.contextmanager
def _present(uri: str) -> Generator[None]:
    """Name the file, and say of one that is not there only that.

    Raises:
        FileNotFoundError: it is not there.
    """
    try:
        with _named(uri):
            yield
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{uri} does not exist") from None


def _opened(uri: str, buffering: int = -1) -> IO[bytes]:
    """A regular file, opened: a pipe would be waited for, a device may never end."""
    kind = kind_of(os.stat(uri).st_mode)
    if kind is not None:
        raise StorageError(
            f"{uri} is {kind}, and only regular files are read: copy what it holds into a file"
        )
    return open(uri, "rb", buffering)


def kind_of(mode: int) -> str | None:
    """What a path is, by its `st_mode`, where it is neither a regular file nor a folder."""
    for is_kind, kind in (
        (stat.S_ISFIFO, "a named pipe"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
        (stat.S_ISSOCK, "a socket"),
    ):  # fmt: skip
        if is_kind(mode):
            return kind
    return None


def write(uri: str, data: bytes, half: Callable[[], None]) -> None:
    """A reader sees the old file or the new one, never a part."""
    with filling(uri) as temporary, open(temporary, "wb") as file:
        file.write(data[: len(data) // 2])
        half()
        file.write(data[len(data) // 2 :])
        _sync(file)


def _sync(file: IO[bytes]) -> None:
    """Bring a file to the disk, where that can be asked for."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise


@contextlib.contextmanager
def filling(uri: str) -> Generator[Path]:
    """A temporary file beside `uri` to fill; at the end of the block it takes that name."""
    path = Path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A random name keeps two writers of the same file apart; the last rename wins whole.
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with _named(uri):
            yield temporary
            _replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path) -> None:
    """Rename over what is there; by three renames where the disk has none that replaces."""
    try:
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in _NOT_HERE or not path.is_file():
            raise
        old = path.with_name(f".{uuid.uuid4().hex}.tmp")
        os.rename(path, old)
        try:
            os.rename(temporary, path)
        except OSError:
            os.rename(old, path)
            raise
        old.unlink()


def create(uri: str, data: bytes) -> bool:
    """Put a file only if there is none; False if there is one already."""
    temporary = str(Path(uri).with_name(f".{uuid.uuid4().hex}.tmp"))
    write(temporary, data, lambda: None)
    try:
        os.link(temporary, uri)  # fails where the name is taken, and is whole at once
    except FileExistsError:
        return False
    except OSError:  # whatever a disk without links answers: EPERM, ENOTSUP, EMLINK, EACCES, …
        return _create_without_links(uri, data)
    finally:
        os.unlink(temporary)
    return True


def _create_without_links(uri: str, data: bytes) -> bool:
    """`create` on a disk without hard links, where the file is half there for a moment.

    On some (s3fs-fuse) two machines may both be told that they were first. So each waits, and the
    caller reads what has stayed.
    """
    try:
        with _named(uri), open(uri, "xb") as file:
            try:
                file.write(data)
                _sync(file)
            except OSError:
                os.unlink(uri)  # half a file would keep its name from everybody
                raise
    except FileExistsError:
        return False
    time.sleep(_SETTLE_WITHOUT_LINKS_S)
    return True


def exists(uri: str) -> bool:
    """Whether a file (not a folder) is there."""
    return os.path.isfile(uri)


def delete(uri: str) -> None:
    """Remove a file.

    Raises:
        FileNotFoundError: it is not there.
    """
    os.remove(uri)


def delete_tree(uri: str) -> None:
    """Remove a folder and all that is in it; nothing happens if it is not there.

    Raises:
        OSError: something in it cannot be removed.
    """
    if os.path.lexists(uri):
        shutil.rmtree(uri)


def upload(uri: str, path: Path) -> None:
    """Copy a file of this machine to `uri`."""
    with filling(uri) as temporary:
        shutil.copyfile(path, temporary)


def download(uri: str, path: Path) -> None:
    """Copy a file to `path`."""
    upload(str(path), Path(uri))


def open_reader(uri: str) -> Any:
    """A file to read and seek in."""
    with _present(uri):
        return io.BufferedReader(TimedFile(lambda: _opened(uri, 0), uri), _PART_BYTES)


def is_folder(uri: str) -> bool:
    """Whether it is a folder."""
    return os.path.isdir(uri)


def files(uri: str, descend: bool, with_gaps: bool = False) -> Iterator[FileEntry]:
    """All files below a folder in name order, or the one file; linked folders are not followed.

    Args:
        uri: of the folder or the file.
        descend: into the folders below.
        with_gaps: a folder that cannot be listed is an entry too, whose uri ends in a slash.

    Raises:
        StorageError: a folder cannot be listed, and is no entry, or what is above it neither can.
    """
    if os.path.isfile(uri):
        yield _local_entry(uri)
        return
    gaps = list[str]()

    def on_error(error: OSError) -> None:
        folder = str(error.filename)
        if with_gaps and _is_gap(folder, error):
            gaps.append(f"{folder}/")
        else:
            _refuse_gap(error)

    for folder, folders, files in os.walk(uri, onerror=on_error):
        folders[:] = sorted(n for n in folders if descend and not n.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield _local_entry(os.path.join(folder, name))
    yield from (FileEntry(gap, None, None) for gap in gaps)


def _is_gap(folder: str, error: OSError) -> bool:
    """Whether an error is about this folder, and not about the disk, which may be gone."""
    if isinstance(error, FileNotFoundError):
        return False
    if isinstance(error, PermissionError):
        return True
    with contextlib.suppress(OSError), os.scandir(os.path.dirname(folder)):
        return True
    return False


def _refuse_gap(error: OSError) -> None:
    """A folder that cannot be read would be a silent gap in the inputs; one that is gone is not."""
    if not isinstance(error, FileNotFoundError):
        raise StorageError(
            f"{error.filename} cannot be listed ({error.strerror}), so its images would be missed: "
            "make it readable, or give `images` without it"
        )


def _local_entry(path: str) -> FileEntry:
    try:
        path.encode()
    except UnicodeEncodeError:  # Parquet holds UTF-8; under this name it will not be found
        shown = os.fsencode(path).decode(errors="backslashreplace")
        return FileEntry(shown, 0, None)
    try:
        status = os.stat(path)
    except OSError:  # a broken link is an input too: reading it will say what is wrong
        return FileEntry(path, 0, None)
    return FileEntry(path, status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}")


def folders(uri: str) -> list[str]:
    """The folders in a folder, in name order, less hidden ones."""
    try:
        with os.scandir(uri) as entries:
            return sorted(
                entry.path
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            )
    except PermissionError as error:
        _refuse_gap(error)
        raise


def require_readable(uri: str, argument: str) -> None:
    """Fail in one sentence if nothing can be read.

    Raises:
        StorageError: it does not exist, or its permissions forbid it.
    """
    if not os.path.exists(uri):
        hint = "; patterns are not read: give the folder" if re.search(r"[*?]", uri) else ""
        raise StorageError(
            f"{argument} {uri} does not exist: check the path{hint}{_left_at_home()}"
        )
    if kind := kind_of(os.stat(uri).st_mode):
        raise StorageError(
            f"{argument} {uri} is {kind}, and only regular files and folders are read: copy what "
            "it holds into a file"
        )
    if os.path.isdir(uri) and not os.access(uri, os.R_OK | os.X_OK):
        raise StorageError(f"{argument} {uri} cannot be read: check its permissions")


def _left_at_home() -> str:
    """In a submitted job, why a path of the submitter's may be missing here; else nothing."""
    if "/working_dir_files/" not in f"{os.getcwd()}/":  # where Ray unpacks a job's code
        return ""
    return (
        "; `ray job submit` uploads the working directory without what .gitignore and .rayignore "
        "name: put it into a store that the nodes reach, and give that URI"
    )


def require_store(uri: str, argument: str) -> None:
    """This machine is there."""
    del uri, argument
