"""Clients of object stores: obstore's, with the standard credentials of each cloud.

They come from the environment: `AWS_*`; `GOOGLE_*` and `GOOGLE_APPLICATION_CREDENTIALS`;
`AZURE_*`, with the account in AZURE_STORAGE_ACCOUNT_NAME. For a store of one's own
AWS_ENDPOINT_URL, STORAGE_EMULATOR_HOST and AZURE_STORAGE_ENDPOINT say where it is.
"""

import functools
import json
import os
import re
from datetime import timedelta
from typing import Any

from obstore.store import AzureStore, GCSStore, S3Store

from model.errors import StorageError
from pipelines.environment import seconds
from pipelines.storage.uris import split_bucket

ObjectStore = S3Store | GCSStore | AzureStore
_SHORTEST_WAIT, _LONGEST_WAIT = timedelta(milliseconds=200), timedelta(seconds=10)
_SET_BY = ("AWS_", "GOOGLE_", "AZURE_", "AZURITE_", "STORAGE_EMULATOR_HOST", "FACEMILL_RETRY_S")
_QUICK = {"max_retries": 1, "retry_timeout": timedelta(seconds=15)}
_NAMES_OF_ACCOUNT = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")


def client_of(uri: str) -> tuple[ObjectStore, str]:
    """The client for the bucket of `uri`, which retries for long, and the key.

    Raises:
        StorageError: the environment does not say where the store is.
    """
    bucket, key = split_bucket(uri)
    settings = tuple(sorted(s for s in os.environ.items() if s[0].startswith(_SET_BY)))
    return _patient(uri.partition("://")[0], bucket, settings), key


def quick_client(uri: str) -> ObjectStore:
    """A client for the bucket of `uri` that gives up after a few seconds.

    Raises:
        StorageError: see `client_of`.
    """
    options = {"connect_timeout": "3s", "timeout": "15s"}
    return _client(uri.partition("://")[0], split_bucket(uri)[0], options, _QUICK)


@functools.lru_cache(maxsize=64)
def _patient(scheme: str, bucket: str, environment: tuple[tuple[str, str], ...]) -> ObjectStore:
    """Kept for one environment, so that new credentials count."""
    del environment
    # Long enough for a minute of 503s; a longer outage fails the shard, and a re-run resumes.
    retry = {
        "max_retries": 12,
        "retry_timeout": timedelta(seconds=seconds("FACEMILL_RETRY_S", 90)),
        "backoff": {"base": 2, "init_backoff": _SHORTEST_WAIT, "max_backoff": _LONGEST_WAIT},
    }
    return _client(scheme, bucket, {"connect_timeout": "5s", "timeout": "120s"}, retry)


def _client(scheme: str, bucket: str, options: dict[str, Any], retry: Any) -> ObjectStore:
    _check_environment()
    common: Any = {"client_options": {"allow_http": True, **options}, "retry_config": retry}
    if scheme == "gs":
        return GCSStore(bucket, config=google_settings(), **common)
    if scheme == "az":
        require_account()
        return AzureStore(bucket, **common)
    address: Any = {"endpoint": endpoint()} if endpoint() else {}
    return S3Store(bucket, region=region(), **address, **common)


def _check_environment() -> None:
    """Refuse what a secret that was made from a file ends in: of it Rust panics.

    Raises:
        StorageError: a variable has white space around it.
    """
    for name, value in os.environ.items():
        if name.startswith(_SET_BY) and value != value.strip():
            raise StorageError(
                f"{name} has white space around it, such as a line break: set it without"
            )


def google_settings() -> Any:
    """Where Google's store is if STORAGE_EMULATOR_HOST says so, as in Google's own libraries.

    Raises:
        StorageError: it is no URL.
    """
    address = os.environ.get("STORAGE_EMULATOR_HOST")
    if not address:
        return {}
    if not address.startswith(("http://", "https://")):
        raise StorageError(f"STORAGE_EMULATOR_HOST={address} is no URL: write http://{address}")
    key = {"gcs_base_url": address, "disable_oauth": True, "client_email": "", "private_key": ""}
    return {"service_account_key": json.dumps({**key, "private_key_id": ""})}


def require_account() -> str:
    """The account that az:// means.

    Raises:
        StorageError: the environment does not say.
    """
    account = next(filter(None, map(os.environ.get, _NAMES_OF_ACCOUNT)), None)
    if account is None and os.environ.get("AZURE_STORAGE_USE_EMULATOR") is None:
        raise StorageError(
            "az:// needs to know the storage account: set AZURE_STORAGE_ACCOUNT_NAME, on a cluster "
            "on every node"
        )
    return account or "devstoreaccount1"


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


def s3_files() -> Any:
    """S3 through s3fs, for what obstore cannot do; without a signature where obstore signs none."""
    import s3fs  # a second to import, and few need it

    unsigned = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true", "yes", "on")
    return s3fs.S3FileSystem(
        anon=unsigned, endpoint_url=endpoint(), client_kwargs={"region_name": region()}
    )
