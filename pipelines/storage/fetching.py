"""Bytes of many images, in order, read ahead by a few threads where the store is far away."""

import collections
import contextlib
import errno
import functools
import os
import stat
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import obstore

from pipelines import storage
from pipelines.storage import web
from pipelines.storage.archives import is_streamed, read_member
from pipelines.storage.clients import client_of
from pipelines.storage.entries import is_web
from pipelines.storage.failures import ReadFailure
from pipelines.storage.store_errors import as_os_errors

# A 100-megapixel JPEG has 50 MB. 32 files of this size read ahead would still fit a worker; a film
# that is named x.jpg would kill it at every try, and its shard would never end.
MOST_BYTES = 256 * 2**20

# 16 GETs in flight hide 40 ms of latency at 400 images/s; each holds one file in memory.
_READ_AHEAD = 16

# A manifest is in the order of names, an archive in its own: so many are held to be read in that.
_WINDOW, _WINDOW_BYTES, _USUAL_BYTES = 512, 256 * 2**20, 100_000

_TRIED_OTHERS = 8  # objects that are read to learn whether a bucket is shut
_READABLE: dict[str, str] = {}  # bucket -> an object of it that this process has read

Item = TypeVar("Item")
Result = TypeVar("Result")


def fetch(
    entry: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()
) -> bytes | ReadFailure:
    """The bytes of one manifest row (uri, offset, bytes).

    What is wrong with this one file comes back as a `ReadFailure`; a failing store raises,
    because an outage must never turn into bad images.

    Args:
        entry: the row.
        others: rows by which is told whether a denial is about this object or the whole bucket.

    Raises:
        OSError: the store could not answer.
        PermissionError: the store denies this object, and no other of its bucket is known to be
            readable.
    """
    uri = entry["uri"]
    if is_web(uri):
        return web.get(uri, MOST_BYTES, others)
    try:
        data = _read(uri, entry)
    except ReadFailure as failure:
        return failure
    except (FileNotFoundError, NotADirectoryError):
        return ReadFailure("not_found", f"{uri} does not exist")
    except PermissionError as error:
        if not storage.is_local(uri) and not _is_bucket_readable(uri, others):
            raise
        return ReadFailure("denied", str(error))
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENAMETOOLONG):
            raise
        return ReadFailure("not_found", str(error))
    if not storage.is_local(uri):
        _READABLE[_bucket_of(uri)] = uri
    return data


def _read(uri: str, entry: Mapping[str, Any]) -> bytes:
    """The bytes of a file that is one, and not too large."""
    offset, length = entry.get("offset"), entry.get("bytes")
    if offset is not None:  # its archive was listed, so this is a file
        _require_size(uri, length or 0)
        return read_member(uri, offset, length)
    if storage.is_local(uri):
        status = os.stat(uri)
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise ReadFailure("not_a_file", f"{uri} is a folder, a pipe or a device")
        _require_size(uri, status.st_size)
        return storage.read_bytes(uri)
    _require_size(uri, length or 0)
    return get_object(uri)


def get_object(uri: str) -> bytes:
    """An object of a store, by one request, whose answer is read only if it is not too large.

    Raises:
        ReadFailure: it is too large, or its key cannot be asked for.
        OSError: as `storage.read_bytes`.
    """
    store, key = client_of(uri)
    if key != key.strip("/"):
        raise _bad_key(uri)  # the client would ask for another key, without the slashes
    with as_os_errors(uri):
        try:
            answer = obstore.get(store, key)
        except ValueError:  # not its tree: the client parses the key before it asks
            raise _bad_key(uri) from None
        _require_size(uri, answer.meta["size"])
        return bytes(answer.bytes())


def _bucket_of(uri: str) -> str:
    """`s3://bucket` of an object in it."""
    return "/".join(uri.split("/", 3)[:3])


def _require_size(uri: str, size: int) -> None:
    if size > MOST_BYTES:
        text = f"{uri} has {size:,} bytes; at most {MOST_BYTES:,} are read"
        raise ReadFailure("file_too_large", text)


def _bad_key(uri: str) -> ReadFailure:
    why = "the client cannot read a key with //, /./, /../, a control character, or a slash at "
    return ReadFailure("bad_key", f"{uri!r}: {why}its start or end: copy the object to another key")


def _is_bucket_readable(denied_uri: str, others: Sequence[Mapping[str, Any]]) -> bool:
    """Whether another object of the bucket can be read now: one that was, else a few of `others`.

    Then a denial is about the one object (its own policy or key), a row; else the whole bucket is
    shut, as with a revoked key, and that must not turn into bad images.
    """
    bucket = _bucket_of(denied_uri)
    known_uri = _READABLE.get(bucket)
    step = max(1, len(others) // _TRIED_OTHERS)
    tried = [known_uri] if known_uri else [str(other["uri"]) for other in others[::step]]
    for uri in tried:
        if uri == denied_uri or storage.is_local(uri) or _bucket_of(uri) != bucket:
            continue
        try:
            get_object(uri)
        except (OSError, ReadFailure):
            continue
        _READABLE[bucket] = uri
        return True
    return False


def fetch_all(entries: Sequence[Mapping[str, Any]]) -> Generator[bytes | ReadFailure]:
    """`fetch` for each entry, in order; S3 is read ahead, a local disk or a stream is not."""
    uris = [str(entry["uri"]) for entry in entries]
    if any(map(is_streamed, uris)):
        yield from _in_order_of_archives(entries)
        return
    if not any(is_web(uri) or storage.store_of(uri).READS_AHEAD for uri in uris):
        yield from map(fetch, entries)
        return
    yield from read_ahead(functools.partial(fetch, others=entries), entries, _READ_AHEAD)


def _in_order_of_archives(
    entries: Sequence[Mapping[str, Any]],
) -> Generator[bytes | ReadFailure]:
    """`fetch` for each entry: some at a time, each once, as they lie in their archives."""
    start = 0
    while start < len(entries):
        end, size = start, 0
        while end < len(entries) and end - start < _WINDOW and size <= _WINDOW_BYTES:
            size += entries[end].get("bytes") or _USUAL_BYTES
            end += 1
        window = entries[start:end]

        def place(number: int, window: Sequence[Mapping[str, Any]] = window) -> tuple[str, int]:
            return storage.file_of(window[number]["uri"]), window[number].get("offset") or 0

        order = sorted(range(len(window)), key=place)
        if order == list(range(len(window))):  # as in scoring: one is held at a time
            yield from map(fetch, window)
        else:
            found = {number: fetch(window[number]) for number in order}
            yield from (found.pop(number) for number in range(len(window)))
        start = end


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
