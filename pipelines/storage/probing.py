"""Whether a bucket can be reached at all, asked once and early: what is wrong is one sentence."""

import os
import re
import uuid
from pathlib import Path

import obstore

from model.errors import StorageError
from pipelines.storage.clients import ObjectStore, quick_client
from pipelines.storage.s3_client import endpoint, region
from pipelines.storage.store_errors import StoreFaultError, as_os_errors, code_of, cure_of
from pipelines.storage.uris import split_bucket

_REFUSED = re.compile(
    "SignatureDoesNotMatch|InvalidAccessKeyId|AccessDenied|AuthorizationFailure|status code: 40[13]"
)
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS and the bucket's policy",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY and the roles of the account",
}
_ADDRESSES = {"s3": "AWS_ENDPOINT_URL", "gs": "STORAGE_EMULATOR_HOST",
              "az": "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ENDPOINT"}  # fmt: skip


def holds_something(uri: str, argument: str) -> bool:
    """Whether a key is there; asked with few retries.

    Raises:
        PermissionError: access is denied below `uri`, and maybe not to it.
        StorageError: missing bucket, denied key, unreachable endpoint.
    """
    scheme = uri.partition("://")[0]
    bucket, prefix = split_bucket(uri)
    place = endpoint() if scheme == "s3" else os.environ.get(_ADDRESSES[scheme].split(", ")[-1])
    at_endpoint = f" at {place}" if place else ""
    store = quick_client(uri)
    try:
        with as_os_errors(uri):
            if next(iter(obstore.list(store, prefix or None, chunk_size=1)), None):
                return True
        if scheme == "s3" and place and _answers_anything(store):
            raise StorageError(
                f"{argument} {uri}: {place} is not an S3 store, because it claims to have every "
                "object: is it the store's web page? Check AWS_ENDPOINT_URL"
            )
        return False
    except OSError as error:
        text = str(error).removeprefix(uri)
        if re.search("redirect|in another region", text):
            reason = (
                f"bucket {bucket!r} is not in region {region()}: set AWS_REGION to its region, on "
                "a cluster on every node"
            )
        elif (known := _cure(text, uri)) is not None:
            reason = known
        elif isinstance(error, FileNotFoundError) or _is_no_bucket(text):
            reason = f"there is no bucket {bucket!r}{at_endpoint}: check the name or create it"
        elif isinstance(error, PermissionError) or _REFUSED.search(text):
            reason = _denied(scheme, bucket, at_endpoint)
        else:
            reason = _unusable(error, at_endpoint, _ADDRESSES[scheme])
        raise StorageError(f"{argument} {uri}: {reason}") from None


def _answers_anything(store: ObjectStore) -> bool:
    """Whether an object is there that nobody can have made: a web page answers so."""
    try:
        obstore.head(store, f"facemill-{uuid.uuid4()}")
    except Exception:  # no such object, or no right to know
        return False
    return True


def _unusable(error: OSError, at_endpoint: str, variables: str) -> str:
    """What to say of a store of which no better is known."""
    fault = error.fault if isinstance(error, StoreFaultError) else None
    if fault and fault.startswith("it answers"):
        code = code_of(str(error))
        return f"the store{at_endpoint}: {fault}{f' ({code})' if code else ''}"
    why = f" ({fault})" if fault else ""
    return f"the store{at_endpoint} cannot be reached{why}: check {variables} and the network"


def _is_no_bucket(text: str) -> bool:
    return bool(re.search("NoSuchBucket|ContainerNotFound|404 Not Found", text))


def _cure(text: str, uri: str) -> str | None:
    """The cure that `as_os_errors` has put into a message, or that its code says."""
    known = cure_of(text, uri)
    if known is not None:
        return known
    match = re.match(r"^: (.*?)(?: <Code>.*)?$", text)
    return match[1] if match and "there are no credentials" in match[1] else None


def _denied(scheme: str, bucket: str, at_endpoint: str) -> str:
    text = f"access to bucket {bucket!r}{at_endpoint} is denied: check {_KEYS[scheme]}"
    if scheme != "s3":
        return text
    if "AWS_ACCESS_KEY_ID" not in os.environ and Path("~/.aws/credentials").expanduser().exists():
        text += "; profiles are not read: eval $(aws configure export-credentials --format env)"
    if "AWS_REQUEST_PAYER" not in os.environ:
        text += "; where its owner lets requesters pay, set AWS_REQUEST_PAYER=true"
    return text
