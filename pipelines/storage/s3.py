"""Objects of S3: one GET an image and no HEAD, one put an output file.

Credentials, region and endpoint come from the standard AWS variables (`AWS_ENDPOINT_URL` too).
"""

import contextlib
import io
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store

from model.errors import StorageError
from pipelines.storage.s3_client import as_os_errors, cure_of, endpoint, region, s3_store
from pipelines.storage.s3_listing import files, folders, is_folder
from pipelines.storage.uris import split_s3

__all__ = ["files", "folders", "is_folder"]

READS_AHEAD: bool = True
# Not every store honours "only if it is not there"; two writers see each other's object then.
SETTLE_S: float = 0.5
_REFUSED = re.compile("SignatureDoesNotMatch|InvalidAccessKeyId|AccessDenied|status code: 40[13]")
_ONE_PUT_BYTES = 32 * 2**20  # 120 s at 2 Mbit/s; shards are smaller, data set files are not
_CHUNK_BYTES = 32 * 2**20


def read(uri: str, offset: int | None, length: int | None) -> bytes:
    """All bytes, or `length` of them from `offset` on."""
    with as_os_errors(uri):
        store, key = s3_store(uri)
        if offset is not None:
            return bytes(obstore.get_range(store, key, start=offset, length=length or 0))
        return bytes(obstore.get(store, key).bytes())


def write(uri: str, data: bytes, half: Callable[[], None]) -> None:
    """There at once and whole, with the one request or the one that ends its parts."""
    del half  # an object is never half there
    with as_os_errors(uri):
        store, key = s3_store(uri)
        obstore.put(store, key, data, use_multipart=len(data) > _ONE_PUT_BYTES)


def create(uri: str, data: bytes) -> bool:
    """Put an object only if there is none; False if there is one already."""
    store, key = s3_store(uri)
    try:
        with as_os_errors(uri):
            obstore.put(store, key, data, mode="create", use_multipart=False)
    except FileExistsError:
        return False
    return True


def exists(uri: str) -> bool:
    """Whether an object is there."""
    with contextlib.suppress(FileNotFoundError), as_os_errors(uri):
        store, key = s3_store(uri)
        return bool(obstore.head(store, key))
    return False


def delete(uri: str) -> None:
    """Remove an object.

    Raises:
        FileNotFoundError: it is not there, where the store says so.
    """
    with as_os_errors(uri):
        store, key = s3_store(uri)
        obstore.delete(store, key)


def delete_tree(uri: str) -> None:
    """Remove all objects below a prefix."""
    for entry in list(files(uri.rstrip("/") + "/", descend=True)):
        delete(entry.uri)


def upload(uri: str, path: Path) -> None:
    """Copy a file of this machine to `uri`; multipart: there at once and whole, or not at all."""
    with as_os_errors(uri):
        store, key = s3_store(uri)
        obstore.put(store, key, path)


def download(uri: str, path: Path) -> None:
    """Copy an object to `path`."""
    with as_os_errors(uri), open(path, "wb") as file:
        store, key = s3_store(uri)
        for part in obstore.get(store, key).stream(_CHUNK_BYTES):
            file.write(bytes(part))


def open_reader(uri: str) -> Any:
    """A file to read and seek in, by ranges."""
    store, key = s3_store(uri)
    return _BytesReader(obstore.open_reader(store, key))


class _BytesReader(io.RawIOBase):
    """A reader of obstore's as a file of Python's, which tarfile, zipfile and pyarrow want."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.reader.seek(offset, whence)

    def tell(self) -> int:
        return self.reader.tell()

    def read(self, size: int = -1) -> bytes:
        return bytes(self.reader.read(size if size >= 0 else None))


def require_readable(uri: str, argument: str) -> None:
    """Fail in one sentence if nothing can be read.

    Ray Data hangs without a word where S3 denies access (ray#57278), so ask before it does.

    Raises:
        StorageError: nothing is there, missing bucket, denied key, unreachable endpoint.
    """
    with contextlib.suppress(PermissionError):  # a role that may read below a prefix and not it
        if _probe(uri, argument) or exists(uri):
            return
    raise StorageError(f"{argument} {uri} holds nothing: check the prefix")


def require_store(uri: str, argument: str) -> None:
    """Fail in one sentence if the bucket cannot be reached.

    Raises:
        StorageError: see `require_readable`.
    """
    _probe(uri, argument)


def _probe(uri: str, argument: str) -> bool:
    """Whether a key is there; asked with few retries, and what goes wrong becomes one sentence."""
    bucket, prefix = split_s3(uri)
    at_endpoint = f" at {endpoint()}" if endpoint() else ""
    settings: dict[str, Any] = {"endpoint": endpoint()} if endpoint() else {}
    settings["client_options"] = {"allow_http": True, "connect_timeout": "3s", "timeout": "15s"}
    settings["retry_config"] = {"max_retries": 1, "retry_timeout": timedelta(seconds=15)}
    store = S3Store(bucket, region=region(), **settings)
    try:
        with as_os_errors(uri):
            return bool(next(iter(obstore.list(store, prefix or None, chunk_size=1)), None))
    except OSError as error:
        text = str(error).removeprefix(uri)
        if (known := cure_of(text)) is not None:
            reason = known
        elif isinstance(error, FileNotFoundError) or "NoSuchBucket" in text:
            reason = f"there is no bucket {bucket!r}{at_endpoint}: check the name or create it"
        elif isinstance(error, PermissionError) or _REFUSED.search(text):
            reason = _denied(bucket, at_endpoint)
        elif re.search("PermanentRedirect|redirect|AuthorizationHeaderMalformed", text):
            reason = (
                f"bucket {bucket!r} is not in region {region()}: set AWS_REGION to its region, on "
                "a cluster on every node"
            )
        else:
            reason = (
                f"the store{at_endpoint} cannot be reached: check AWS_ENDPOINT_URL and the network"
            )
        raise StorageError(f"{argument} {uri}: {reason}") from None


def _denied(bucket: str, at_endpoint: str) -> str:
    text = f"access to bucket {bucket!r}{at_endpoint} is denied: check AWS_ACCESS_KEY_ID, "
    text += "AWS_SECRET_ACCESS_KEY and the bucket's policy"
    if "AWS_ACCESS_KEY_ID" not in os.environ and Path("~/.aws/credentials").expanduser().exists():
        text += "; profiles are not read: eval $(aws configure export-credentials --format env)"
    return text
