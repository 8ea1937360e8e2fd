"""One door to bytes: a local path or `s3://bucket/key`, chosen by the URI alone.

Credentials, region and endpoint come from the standard AWS variables (`AWS_ENDPOINT_URL` too).
Objects go through obstore: one GET an image and no HEAD, where pyarrow needs two requests
(findings: 0.62 against 1.42 ms of CPU an image). Ray Train takes its storage through pyarrow.
What files are there is pipelines/storage/listing.py.
"""

import contextlib
import functools
import os
import re
import uuid
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
import pyarrow.fs
from obstore import exceptions as obstore_errors
from obstore.store import S3Store

from model.errors import StorageError
from pipelines.environment import seconds

_TAR_MEMBER = ".tar#"  # a member's URI is `faces.tar#folder/name.jpg`
_CREDENTIAL = re.compile(
    r"://[^/]*@|[?&](\w*secret\w*|\w*access_?key\w*|x-amz-\w+)=", re.IGNORECASE
)

_REFUSED = re.compile("SignatureDoesNotMatch|InvalidAccessKeyId|AccessDenied|status code: 40[13]")
_ONE_PUT_BYTES = 32 * 2**20  # 120 s at 2 Mbit/s; shards are smaller, data set files are not
_SHORTEST_WAIT, _LONGEST_WAIT = timedelta(milliseconds=200), timedelta(seconds=10)


def normalize(uri: str) -> str:
    """An absolute local path, or the s3:// URI without a trailing slash.

    Raises:
        StorageError: the scheme is not one we speak, or it holds a credential.
    """
    if _CREDENTIAL.search(uri):  # it would end up in lineage and logs
        raise StorageError("a URI holds a credential: give it as AWS_ACCESS_KEY_ID and the like")
    if uri.startswith("s3://"):
        bucket, _ = split_s3(uri)
        if not bucket:
            raise StorageError(f"{uri!r} names no bucket: write s3://bucket/prefix")
        return uri.rstrip("/")
    if "://" in uri and not uri.startswith("file://"):
        scheme = uri.split("://", 1)[0]
        raise StorageError(f"{scheme}:// is not supported: use a local path or s3://bucket/prefix")
    return os.path.abspath(os.path.expanduser(uri.removeprefix("file://")))


def is_local(uri: str) -> bool:
    """Whether a normalized URI is a path on this machine."""
    return not uri.startswith("s3://")


def split_s3(uri: str) -> tuple[str, str]:
    """`s3://bucket/some/key` -> (bucket, some/key). Keys are raw, never %-escaped."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def join(uri: str, *parts: str) -> str:
    """Append path parts to a URI."""
    return "/".join([uri.rstrip("/"), *parts])


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


@functools.lru_cache(maxsize=64)
def _store(bucket: str, endpoint: str | None, region: str, key: str | None) -> S3Store:
    """A client for one bucket; `key` is part of the cache key only, so new credentials count."""
    del key
    settings: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    return S3Store(
        bucket,
        region=region,
        client_options={"allow_http": True, "connect_timeout": "5s", "timeout": "120s"},
        # We sit out a minute of 503s; a longer outage fails the shard, and a re-run resumes.
        retry_config={
            "max_retries": 12,
            "retry_timeout": timedelta(seconds=seconds("FACEMILL_RETRY_S", 90)),
            "backoff": {"base": 2, "init_backoff": _SHORTEST_WAIT, "max_backoff": _LONGEST_WAIT},
        },
        **settings,
    )


def s3_store(uri: str) -> tuple[S3Store, str]:
    """The client for the bucket of `uri`, with long patience, and the key."""
    bucket, key = split_s3(uri)
    access_key = os.environ.get("AWS_ACCESS_KEY_ID")
    return _store(bucket, _endpoint(), _region(), access_key), key


def train_filesystem(uri: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """The pyarrow filesystem and path that Ray Train stores checkpoints through.

    S3 through s3fs: pyarrow's own client puts an empty `prefix/` object for every folder, which
    some stores refuse (rclone answers 500).
    """
    if not uri.startswith("s3://"):
        return pyarrow.fs.LocalFileSystem(), uri
    bridge: Any = pyarrow.fs.FSSpecHandler  # its stub says abstract
    return pyarrow.fs.PyFileSystem(bridge(s3_files())), uri.removeprefix("s3://")


def s3_files() -> Any:
    """S3 through s3fs, for what obstore cannot do."""
    import s3fs  # a second to import, and few need it

    return s3fs.S3FileSystem(endpoint_url=_endpoint(), client_kwargs={"region_name": _region()})


@contextlib.contextmanager
def plain_errors(uri: str) -> Generator[None]:
    """Turn obstore's errors into Python's own: FileNotFoundError, PermissionError, OSError."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{uri} does not exist") from None
    except obstore_errors.AlreadyExistsError:
        raise FileExistsError(f"{uri} exists already") from None
    except (obstore_errors.PermissionDeniedError, obstore_errors.UnauthenticatedError):
        raise PermissionError(f"access to {uri} is denied") from None
    except obstore_errors.BaseError as error:
        # obstore's text goes on with the server's XML and a Rust debug dump; S3's code matters.
        text = str(error)
        code = re.search(r"<Code>\w+</Code>", text)
        first = re.sub(r" https?://\S+", "", text.partition("\n")[0].partition("<?xml")[0])
        raise OSError(f"{uri}: {first[:200]}{code[0] if code else ''}") from None


def read_bytes(uri: str, offset: int | None = None, length: int | None = None) -> bytes:
    """The bytes of a file; with `offset`, the `length` bytes there (a member of a tar).

    Raises:
        FileNotFoundError: it is not there.
        OSError: anything else; the store may be ill, so this says nothing about the file.
    """
    if offset is not None and _TAR_MEMBER in uri:
        uri = uri.partition(_TAR_MEMBER)[0] + ".tar"
    with plain_errors(uri):
        if uri.startswith("s3://"):
            store, key = s3_store(uri)
            if offset is not None:
                return bytes(obstore.get_range(store, key, start=offset, length=length or 0))
            return bytes(obstore.get(store, key).bytes())
        with open(uri, "rb") as file:
            if offset is None:
                return file.read()
            file.seek(offset)
            return file.read(length)


def write_bytes(uri: str, data: bytes) -> None:
    """Put a whole file in place at once: one PutObject, or a synced temporary file renamed.

    A reader sees the old file or the new one, never a part. What one request might not bring over
    in its 120 s goes in parts, which are there at once, too, with the request that ends them.
    """
    with plain_errors(uri):
        if uri.startswith("s3://"):
            store, key = s3_store(uri)
            obstore.put(store, key, data, use_multipart=len(data) > _ONE_PUT_BYTES)
            return
        path = Path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A random name keeps two writers of the same file apart; the last rename wins whole.
        temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def create_bytes(uri: str, data: bytes) -> bool:
    """Put a file only if there is none; False if there is one already.

    Not every S3 server honours the condition (findings: rclone overwrites): read back to be sure.
    """
    if uri.startswith("s3://"):
        store, key = s3_store(uri)
        try:
            with plain_errors(uri):
                obstore.put(store, key, data, mode="create", use_multipart=False)
        except FileExistsError:
            return False
        return True
    temporary = str(Path(uri).with_name(f".{uuid.uuid4().hex}.tmp"))
    write_bytes(temporary, data)
    try:
        os.link(temporary, uri)  # fails where the name is taken, and is whole at once
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def exists(uri: str) -> bool:
    """Whether a file (not a folder) is there."""
    if not uri.startswith("s3://"):
        return os.path.isfile(uri)
    with contextlib.suppress(FileNotFoundError), plain_errors(uri):
        store, key = s3_store(uri)
        return bool(obstore.head(store, key))
    return False


def delete(uri: str) -> None:
    """Remove a file; nothing happens if it is not there."""
    with contextlib.suppress(FileNotFoundError), plain_errors(uri):
        if uri.startswith("s3://"):
            store, key = s3_store(uri)
            obstore.delete(store, key)
        else:
            os.remove(uri)


def require_readable(uri: str, what: str) -> None:
    """Fail early, in one sentence, if nothing can be read at `uri`.

    Ray Data hangs without a word where S3 denies access (ray#57278), so ask before it does.

    Raises:
        StorageError: no such folder or file, missing bucket, denied key, unreachable endpoint.
    """
    if not uri.startswith("s3://"):
        if not os.path.exists(uri):
            raise StorageError(f"{what} {uri} does not exist: check the path")
        if os.path.isdir(uri) and not os.access(uri, os.R_OK | os.X_OK):
            raise StorageError(f"{what} {uri} cannot be read: check its permissions")
        return
    with contextlib.suppress(PermissionError):  # a role that may read below a prefix and not it
        if _probe_s3(uri, what) or exists(uri):
            return
    raise StorageError(f"{what} {uri} holds nothing: check the prefix")


def require_writable(uri: str, what: str) -> None:
    """Fail early, in one sentence, if nothing can be written below `uri`.

    Raises:
        StorageError: see `require_readable`, or the place is read-only.
    """
    probe = join(uri, ".facemill-probe")
    if uri.startswith("s3://"):
        _probe_s3(uri, what)
    try:
        write_bytes(probe, b"")
        delete(probe)
    except OSError as error:
        raise StorageError(f"{what} {uri} cannot be written: {error}") from None


def _probe_s3(uri: str, what: str) -> bool:
    """Whether a key is there; asked with little patience, told in a sentence what went wrong."""
    bucket, prefix = split_s3(uri)
    where = f" at {_endpoint()}" if _endpoint() else ""
    settings: dict[str, Any] = {"endpoint": _endpoint()} if _endpoint() else {}
    settings["client_options"] = {"allow_http": True, "connect_timeout": "3s", "timeout": "15s"}
    settings["retry_config"] = {"max_retries": 1, "retry_timeout": timedelta(seconds=15)}
    store = S3Store(bucket, region=_region(), **settings)
    try:
        with plain_errors(uri):
            return bool(next(iter(obstore.list(store, prefix or None, chunk_size=1)), None))
    except OSError as error:
        text = str(error).removeprefix(uri)
        if isinstance(error, FileNotFoundError) or "NoSuchBucket" in text:
            reason = f"there is no bucket {bucket!r}{where}: check the name or create it"
        elif isinstance(error, PermissionError) or _REFUSED.search(text):
            reason = _denied(bucket, where)
        elif re.search("PermanentRedirect|redirect|AuthorizationHeaderMalformed", text):
            reason = (
                f"bucket {bucket!r} is not in region {_region()}: set AWS_REGION to its region, on "
                "a cluster on every node"
            )
        else:
            reason = f"the store{where} cannot be reached: check AWS_ENDPOINT_URL and the network"
        raise StorageError(f"{what} {uri}: {reason}") from None


def _denied(bucket: str, where: str) -> str:
    text = f"access to bucket {bucket!r}{where} is denied: check AWS_ACCESS_KEY_ID, "
    text += "AWS_SECRET_ACCESS_KEY and the bucket's policy"
    if "AWS_ACCESS_KEY_ID" not in os.environ and Path("~/.aws/credentials").expanduser().exists():
        text += "; profiles are not read: eval $(aws configure export-credentials `format` env)"
    return text
