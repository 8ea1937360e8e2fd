"""Clients of S3: obstore for data, s3fs for what it cannot do; their errors as Python's own."""

import contextlib
import functools
import os
import re
from collections.abc import Generator
from datetime import timedelta
from typing import Any

from obstore import exceptions as obstore_errors
from obstore.store import S3Store

from model.errors import StorageError
from pipelines.environment import seconds
from pipelines.storage.uris import split_s3

_SHORTEST_WAIT, _LONGEST_WAIT = timedelta(milliseconds=200), timedelta(seconds=10)


def endpoint() -> str | None:
    """The endpoint that the AWS variables name, or None for Amazon's own.

    Raises:
        StorageError: it has no scheme, of which obstore would panic.
    """
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        address = os.environ.get(name)
        if address and not re.match(r"https?://[^/]", address):
            raise StorageError(
                f"{name}={address} is no URL: write http://{address} or https://{address}"
            )
        if address:
            return address
    return None


def region() -> str:
    """The region that the AWS variables name."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


@functools.lru_cache(maxsize=64)
def _store(bucket: str, address: str | None, region_name: str, key: str | None) -> S3Store:
    """A client for one bucket; `key` is part of the cache key only, so new credentials count."""
    del key
    settings: dict[str, Any] = {"endpoint": address} if address else {}
    return S3Store(
        bucket,
        region=region_name,
        client_options={"allow_http": True, "connect_timeout": "5s", "timeout": "120s"},
        # Long enough for a minute of 503s; a longer outage fails the shard, and a re-run resumes.
        retry_config={
            "max_retries": 12,
            "retry_timeout": timedelta(seconds=seconds("FACEMILL_RETRY_S", 90)),
            "backoff": {"base": 2, "init_backoff": _SHORTEST_WAIT, "max_backoff": _LONGEST_WAIT},
        },
        **settings,
    )


def s3_store(uri: str) -> tuple[S3Store, str]:
    """The client for the bucket of `uri`, which retries for long, and the key."""
    bucket, key = split_s3(uri)
    access_key = os.environ.get("AWS_ACCESS_KEY_ID")
    return _store(bucket, endpoint(), region(), access_key), key


def s3_files() -> Any:
    """S3 through s3fs, for what obstore cannot do; without a signature where obstore signs none."""
    import s3fs  # a second to import, and few need it

    unsigned = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true", "yes", "on")
    return s3fs.S3FileSystem(
        anon=unsigned, endpoint_url=endpoint(), client_kwargs={"region_name": region()}
    )


# S3's own codes (Amazon S3 API reference, "Error responses") whose cure the name does not tell.
_CURES = {
    "ExpiredToken": "the credentials have expired: renew them, and the same command continues",
    "TokenRefreshRequired": "the credentials have expired: renew them, and the same command "
    "continues",
    "InvalidToken": "AWS_SESSION_TOKEN does not belong to AWS_ACCESS_KEY_ID: set both anew",
    "RequestTimeTooSkewed": "this machine's clock is more than 15 minutes off: set it, and the "
    "same command continues",
    "RequestExpired": "this machine's clock is more than 15 minutes off: set it, and the "
    "same command continues",
    "InvalidObjectState": "the object is archived (Glacier): restore it first",
    "AllAccessDisabled": "the store has shut this bucket for everybody",
    "AccountProblem": "the store has shut this account",
}
# What is wrong with the one object that was asked for, whatever the status: a key of its own
# (SSE-C, KMS) that nobody has given, an archive.
_OF_ONE_OBJECT = re.compile(r"<Code>(InvalidRequest|InvalidObjectState|KMS\.[\w.]+)</Code>")


def cure_of(text: str) -> str | None:
    """What to do about a store's answer, by the code in it; None where the code itself says it."""
    code = re.search(r"<Code>([\w.]+)</Code>", text)
    return _CURES.get(code[1]) if code else None


@contextlib.contextmanager
def as_os_errors(uri: str) -> Generator[None]:
    """Turn obstore's errors into Python's own: FileNotFoundError, PermissionError, OSError."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{uri} does not exist") from None
    except obstore_errors.AlreadyExistsError:
        raise FileExistsError(f"{uri} exists already") from None
    except (obstore_errors.PermissionDeniedError, obstore_errors.UnauthenticatedError) as error:
        known = cure_of(str(error))
        if known is not None:
            raise PermissionError(f"{uri}: {known}{_code(str(error))}") from None
        raise PermissionError(f"access to {uri} is denied") from None
    except obstore_errors.BaseError as error:
        # obstore's text goes on with the server's XML and a Rust debug dump; S3's code matters.
        text = str(error)
        if _OF_ONE_OBJECT.search(text):
            said = re.search(r"<Message>(.*?)</Message>", text)
            reason = cure_of(text) or (said[1][:200] if said else "it cannot be read")
            raise PermissionError(f"{uri}: {reason}{_code(text)}") from None
        first = re.sub(r" https?://\S+", "", text.partition("\n")[0].partition("<?xml")[0])
        raise OSError(f"{uri}: {cure_of(text) or first[:200]}{_code(text)}") from None


def _code(text: str) -> str:
    """` <Code>ExpiredToken</Code>` of a store's answer, or ''."""
    code = re.search(r"<Code>[\w.]+</Code>", text)
    return f" {code[0]}" if code else ""
