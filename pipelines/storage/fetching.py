"""Bytes of many images, in order, read ahead by a few threads where the store is far away."""

import collections
import contextlib
import errno
import functools
import itertools
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import obstore

from model.errors import describe_os_error
from pipelines import storage
from pipelines.storage import local, web
from pipelines.storage.archives import give_up_rest, is_streamed, read_member
from pipelines.storage.clients import client_of
from pipelines.storage.entries import ReadFailure, is_web
from pipelines.storage.store_errors import as_os_errors
from pipelines.storage.timed_reads import within
from pipelines.storage.uri_lists import why_no_uri

# A 100-megapixel JPEG has 50 MB. 32 files of this size read ahead would still fit a worker; a film
# that is named x.jpg would kill it at every try, and its shard would never end.
MOST_BYTES = 256 * 2**20

# 16 GETs in flight hide 40 ms of latency at 400 images/s; each holds one file in memory.
_READ_AHEAD = 16

# A manifest is in the order of names, an archive in its own: so many are held to be read in that.
_WINDOW, _WINDOW_BYTES, _USUAL_BYTES = 512, 256 * 2**20, 100_000

_TRIED_OTHERS = 8  # objects that are read to learn whether a bucket is shut
_NEIGHBOUR_S, _NEIGHBOUR_BYTES = 10.0, 1 << 16  # by which is told whether a disk is there
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
        others: rows by which is told whether an error is about this one or the whole store.

    Raises:
        OSError: the store could not answer.
        PermissionError: the store denies this object, and no other of its bucket is known to be
            readable.
    """
    uri = entry["uri"]
    if why := why_no_uri(uri):
        return ReadFailure("bad_uri", why)
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
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            return ReadFailure("not_found", describe_os_error(error))
        if not storage.is_local(uri) or not is_disk_readable(entry, others):
            raise
        return _once_more(uri, entry, error)
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
        return within(lambda: _read_local(uri), uri)
    _require_size(uri, length or 0)
    return get_object(uri)


def _read_local(uri: str) -> bytes:
    status = os.stat(uri)
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        raise ReadFailure("not_a_file", f"{uri} is a folder, a pipe or a device")
    _require_size(uri, status.st_size)
    data = local.read_up_to(uri, MOST_BYTES)
    _require_size(uri, len(data))  # some files say that they have 0 bytes, and never end
    return data


def _once_more(uri: str, entry: Mapping[str, Any], error: OSError) -> bytes | ReadFailure:
    """A file of a disk that works: its bytes now, or why it cannot be read."""
    if isinstance(error, TimeoutError):
        return ReadFailure(
            "timeout", f"{describe_os_error(error)} (others of its disk can be read)"
        )
    try:
        return _read(uri, entry)  # a mount may have been away for a moment
    except ReadFailure as failure:
        return failure
    except OSError as again:
        if is_streamed(uri):
            give_up_rest(uri, entry.get("offset") or 0, again)
        return ReadFailure(
            "unreadable", f"{describe_os_error(again)} (others of its disk can be read)"
        )


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


def is_disk_readable(entry: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()) -> bool:
    """Whether a file or a member near a local one can be read now, from the disk itself.

    Then an error is about the one; else the disk or its mount is gone, and that must not turn into
    bad images.
    """
    for neighbour in _neighbours(entry, others):
        try:
            if neighbour.get("offset") is not None:
                _read(neighbour["uri"], neighbour)
                return True
            path = str(neighbour["uri"])
            if within(functools.partial(_read_from_disk, path), path, _NEIGHBOUR_S):
                return True
        except (OSError, ReadFailure):
            continue
    return False


def _neighbours(
    entry: Mapping[str, Any], others: Sequence[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """The next inputs, which nobody has read yet, those before, and what else is in the folder."""
    uri = entry["uri"]
    at = next((number for number, other in enumerate(others) if other["uri"] == uri), 0)
    near = [*others[at + 1 : at + 1 + _TRIED_OTHERS], *reversed(others[max(0, at - 4) : at])]
    yield from (other for other in near if storage.is_local(other["uri"]))
    file = storage.file_of(uri)
    with contextlib.suppress(OSError), os.scandir(os.path.dirname(file)) as siblings:
        files = (one.path for one in siblings if one.path != file and one.is_file())
        yield from ({"uri": path} for path in itertools.islice(files, _TRIED_OTHERS))


def _read_from_disk(path: str) -> bytes:
    """The first bytes of a file, and not as the kernel remembers them of a disk that is gone."""
    with open(path, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return b""
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read(_NEIGHBOUR_BYTES)


def fetch_all(entries: Sequence[Mapping[str, Any]]) -> Generator[bytes | ReadFailure]:
    """`fetch` for each entry, in order; S3 is read ahead, a local disk or a stream is not."""
    uris = [str(entry["uri"]) for entry in entries]
    if any(map(is_streamed, uris)):
        yield from _in_order_of_archives(entries)
        return
    if not any(is_web(uri) or storage.store_of(uri).READS_AHEAD for uri in uris):
        yield from map(functools.partial(fetch, others=entries), entries)
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
            yield from map(functools.partial(fetch, others=window), window)
        else:
            found = {number: fetch(window[number], window) for number in order}
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
