"""Whether a bucket can be reached at all, asked once and early: what is wrong is one sentence."""

import os
import re
import uuid
from pathlib import Path

import obstore
from obstore import exceptions as obstore_errors

from model.errors import StorageError
from pipelines.storage.clients import ObjectStore, endpoint, quick_client, region
from pipelines.storage.store_errors import REGION, code_of, cure_of, fault_of
from pipelines.storage.uris import split_bucket

_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS and the bucket's policy",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY and the roles of the account",
}
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_ADDRESSES = {"s3": "AWS_ENDPOINT_URL", "gs": "STORAGE_EMULATOR_HOST",
              "az": "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ENDPOINT"}  # fmt: skip


def holds_something(uri: str, argument: str) -> bool:
    """Whether a key is there; asked with few retries.

    Raises:
        StorageError: missing bucket, denied key, unreachable endpoint.
    """
    scheme = uri.partition("://")[0]
    prefix = split_bucket(uri)[1]
    place = endpoint() if scheme == "s3" else os.environ.get(_ADDRESSES[scheme].split(", ")[-1])
    at_endpoint = f" at {place}" if place else ""
    store = quick_client(uri)
    try:
        if next(iter(obstore.list(store, prefix or None, chunk_size=1)), None):
            return True
        if scheme == "s3" and place and _answers_anything(store):
            raise StorageError(
                f"{argument} {uri}: {place} is not an S3 store, because it claims to have every "
                "object: is it the store's web page? Check AWS_ENDPOINT_URL"
            )
        return False
    except (obstore_errors.BaseError, FileNotFoundError) as error:
        raise StorageError(f"{argument} {uri}: {_why(error, uri, at_endpoint)}") from None


def _answers_anything(store: ObjectStore) -> bool:
    """Whether an object is there that nobody can have made: a web page answers so."""
    try:
        obstore.head(store, f"facemill-{uuid.uuid4()}")
    except Exception:  # no such object, or no right to know
        return False
    return True


def _why(error: Exception, uri: str, at_endpoint: str) -> str:
    """What to say of a store that lists nothing."""
    scheme, bucket, text = uri.partition("://")[0], split_bucket(uri)[0], str(error)
    if (cure := cure_of(text, uri)) == REGION:
        return (
            f"bucket {bucket!r} is not in region {region()}: set AWS_REGION to its region, on a "
            "cluster on every node"
        )
    if cure is not None:
        return cure
    code, fault = code_of(text), fault_of(text) or ""
    if isinstance(error, FileNotFoundError) or code in _NO_BUCKET or " 404 " in fault:
        return f"there is no bucket {bucket!r}{at_endpoint}: check the name or create it"
    denied = (obstore_errors.PermissionDeniedError, obstore_errors.UnauthenticatedError)
    if isinstance(error, denied) or re.search(" 40[13] ", fault):
        return _denied(scheme, bucket, at_endpoint)
    if fault.startswith("it answers"):
        return f"the store{at_endpoint}: {fault}{f' ({code})' if code else ''}"
    why = f" ({fault})" if fault else ""
    return (
        f"the store{at_endpoint} cannot be reached{why}: check {_ADDRESSES[scheme]} and the network"
    )


def _denied(scheme: str, bucket: str, at_endpoint: str) -> str:
    text = f"access to bucket {bucket!r}{at_endpoint} is denied: check {_KEYS[scheme]}"
    if scheme != "s3":
        return text
    if "AWS_ACCESS_KEY_ID" not in os.environ and Path("~/.aws/credentials").expanduser().exists():
        text += "; profiles are not read: eval $(aws configure export-credentials --format env)"
    if "AWS_REQUEST_PAYER" not in os.environ:
        text += "; where its owner lets requesters pay, set AWS_REQUEST_PAYER=true"
    return text
