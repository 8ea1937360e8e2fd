"""Bytes of many images, in order, read ahead by a few threads where the store is far away."""

import collections
import contextlib
import errno
import os
import stat
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from pipelines import storage

# 16 GETs in flight hide 40 ms of latency at 400 images/s; each holds one file in memory.
_READ_AHEAD = 16

_WITNESSES: dict[str, str] = {}  # bucket -> an object of it that this process has read

Item = TypeVar("Item")
Result = TypeVar("Result")


class ReadFailure(Exception):
    """One file that is not there or may not be read: a quarantine row.

    Attributes:
        reason: `not_found`, `denied` or `not_a_file`.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Keep `reason` (for grouping) beside `message` (for a person)."""
        super().__init__(message)
        self.reason = reason


def fetch(entry: Mapping[str, Any]) -> bytes | ReadFailure:
    """The bytes of one manifest row (uri, offset, bytes).

    What is wrong with this one file comes back as a `ReadFailure`; an ill store raises, because
    an outage must never turn into bad images.

    Raises:
        OSError: the store could not answer.
        PermissionError: S3 denies this object, and no other of its bucket is known to be readable.
    """
    uri = entry["uri"]
    try:
        if not uri.startswith("s3://") and not _is_regular(uri, entry):
            return ReadFailure("not_a_file", f"{uri} is a folder, a pipe or a device")
        data = storage.read_bytes(uri, entry.get("offset"), entry.get("bytes"))
    except (FileNotFoundError, NotADirectoryError):
        return ReadFailure("not_found", f"{uri} does not exist")
    except PermissionError as error:
        if uri.startswith("s3://") and not _is_witnessed(storage.split_s3(uri)[0]):
            raise
        return ReadFailure("denied", str(error))
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENAMETOOLONG):
            raise
        return ReadFailure("not_found", str(error))
    if uri.startswith("s3://"):
        _WITNESSES[storage.split_s3(uri)[0]] = uri
    return data


def _is_witnessed(bucket: str) -> bool:
    """Whether an object of the bucket that was read before can be read now.

    Then a denial is about the one object (its own policy or key), a row; else the whole bucket is
    shut, as with a revoked key, and that must not turn into bad images.
    """
    witness = _WITNESSES.get(bucket)
    if witness is None:
        return False
    try:
        storage.read_bytes(witness)
    except OSError:
        return False
    return True


def _is_regular(path: str, entry: Mapping[str, Any]) -> bool:
    """Whether reading it ends: a pipe would be waited for."""
    if entry.get("offset") is not None:
        return True  # the tar was listed
    return stat.S_ISREG(os.stat(path).st_mode)


def fetch_all(entries: Sequence[Mapping[str, Any]]) -> Generator[bytes | ReadFailure]:
    """`fetch` for each entry, in order; S3 is read ahead, a local disk is not."""
    if not entries or not str(entries[0]["uri"]).startswith("s3://"):
        yield from map(fetch, entries)
        return
    yield from read_ahead(fetch, entries, _READ_AHEAD)


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[Result]:
    """`read` of each item, in order, by `threads` threads; at most twice as many are held."""
    with contextlib.ExitStack() as stack:
        pool = ThreadPoolExecutor(threads, thread_name_prefix="read-ahead")
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        window: collections.deque[Future[Result]] = collections.deque()
        for item in items:
            window.append(pool.submit(read, item))
            if len(window) == 2 * threads:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
