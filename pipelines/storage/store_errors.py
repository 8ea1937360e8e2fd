"""Errors of object stores as Python's own, in the words that a user needs."""

import contextlib
import re
from collections.abc import Generator

from obstore import exceptions as obstore_errors

_EXPIRED = "the credentials have expired: renew them, then run the same command again"
_CLOCK = "this machine's clock is more than 15 minutes off: set it, then run the same command again"
REGION = "the bucket is in another region: set AWS_REGION to it, on a cluster on every node"
_ARCHIVED = "the object is archived: restore it first"
# The stores' own codes whose cure the name does not tell (Amazon S3 API reference, "Error
# responses"; Azure, "Blob service error codes"; Google Cloud Storage XML API, "HTTP status codes").
# No wait cures what stands here.
CURES = {
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": "AWS_SESSION_TOKEN does not belong to AWS_ACCESS_KEY_ID: set both anew",
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "PermanentRedirect": REGION,
    "AuthorizationHeaderMalformed": REGION,
    "IllegalLocationConstraintException": REGION,
    "InvalidObjectState": "the object is archived (Glacier): restore it first",
    "BlobArchived": _ARCHIVED,
    "BlobBeingRehydrated": "the object is being restored from the archive: wait for it",
    "AllAccessDisabled": "access to this bucket is disabled for everybody",
    "InvalidBucketName": "this is not a valid bucket name",
    "AccountProblem": "the store has disabled this account",
    "AccountIsDisabled": "the store has disabled this account",
    "UserProjectMissing": "its owner lets requesters pay, which facemill does not support for "
    "gs://: copy the images to a bucket of your own",
    "AuthenticationRequired": "the credentials are missing or have expired: renew them, then "
    "run the same command again",
}
# What is wrong with the one object that was asked for, whatever the status: a key of its own
# (SSE-C, KMS) that nobody has given, an archive.
_OF_ONE_OBJECT = re.compile(
    r"<Code>(InvalidRequest|InvalidObjectState|BlobArchived|BlobBeingRehydrated|KMS\.[\w.]+)</Code>"
)
_WITHOUT_KEYS = re.compile("169\\.254\\.169\\.254|metadata\\.google\\.internal|token request")
NO_KEYS = {
    "s3": "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
    "AWS_SKIP_SIGNATURE=true for a public bucket",
    "gs": "there are no credentials: set GOOGLE_APPLICATION_CREDENTIALS to a key file, or "
    "GOOGLE_SKIP_SIGNATURE=true for a public bucket",
    "az": "there are no credentials: set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or "
    "AZURE_SKIP_SIGNATURE=true for a public container",
}


# What stands deep in obstore's text where no answer came, or one that has no code of the store's.
_FAULTS = (
    ("InvalidCertificate", "its certificate is signed by an unknown authority: set SSL_CERT_FILE "
     "to that authority's file, on a cluster on every node"),
    ("InvalidContentType", "it serves http, not https"),
    ("dns error", "unknown host"),
    ("Connection refused", "connection refused"),
    ("operation timed out|TimedOut", "it does not respond in time"),
)  # fmt: skip
_STATUS = re.compile(r"status code: (\d{3} [A-Z][A-Za-z ]+)")


class StoreFaultError(OSError):
    """A store fails.

    Attributes:
        fault: of `fault_of`.
    """

    def __init__(self, text: str, fault: str | None = None) -> None:
        """Keep it; the default is for pickle, which sets it afterwards."""
        super().__init__(text)
        self.fault = fault


def fault_of(text: str) -> str | None:
    """Why the store cannot be used, or what it answers, where no cure is known."""
    known = next((said for pattern, said in _FAULTS if re.search(pattern, text)), None)
    status = _STATUS.search(text)
    if known or not status:
        return known
    said = f"it answers {status[1].strip()}"
    later = status[1][0] == "5" or status[1].startswith("429")
    return f"{said}; run the same command again later" if later else said


def code_of(text: str) -> str:
    """The store's own code in its answer, or ''."""
    code = re.search(r"<Code>([\w.]+)</Code>", text)
    return code[1] if code else ""


def cure_of(text: str, uri: str = "s3://") -> str | None:
    """What to do about a store's answer; None where its code itself says it."""
    if code_of(text) in CURES:
        return CURES[code_of(text)]
    if re.search("Signature not valid in the specified time frame|Signature expired", text):
        return _EXPIRED  # Azure's code is AuthenticationFailed, whatever it was
    if re.search("date header in the request is incorrect|Request date header too old", text):
        return _CLOCK
    if "Received redirect without LOCATION" in text:  # S3's 301, whose body obstore drops
        return REGION
    if _WITHOUT_KEYS.search(text):
        return NO_KEYS[uri.partition("://")[0]]
    return None


@contextlib.contextmanager
def as_os_errors(uri: str) -> Generator[None]:
    """Turn obstore's errors into Python's own.

    Raises:
        FileNotFoundError: nothing is there.
        FileExistsError: something is there, and shall not be.
        PermissionError: no wait cures it: access is denied, credentials have expired.
        StoreFaultError: the store fails.
    """
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{uri} does not exist") from None
    except obstore_errors.AlreadyExistsError as error:
        text = str(error)
        if code_of(text) in CURES:  # Azure answers 409 for an archived one too
            raise PermissionError(f"{uri}: {cure_of(text, uri)}{_shown(text)}") from None
        raise FileExistsError(f"{uri} exists already") from None
    except (obstore_errors.PermissionDeniedError, obstore_errors.UnauthenticatedError) as error:
        known = cure_of(str(error), uri)
        if known is not None:
            raise PermissionError(f"{uri}: {known}{_shown(str(error))}") from None
        raise PermissionError(f"access to {uri} is denied") from None
    except obstore_errors.BaseError as error:
        # obstore's text goes on with the server's XML and a Rust debug dump; its code matters.
        text = str(error)
        known = cure_of(text, uri)
        if known is not None or _OF_ONE_OBJECT.search(text):
            said = re.search(r"<Message>(.*?)</Message>", text)
            reason = known or (said[1][:200] if said else "it cannot be read")
            raise PermissionError(f"{uri}: {reason}{_shown(text)}") from None
        first = re.sub(r" https?://\S+", "", text.partition("\n")[0].partition("<?xml")[0])
        fault = fault_of(text)
        why = f" ({fault})" if fault else ""
        raise StoreFaultError(f"{uri}: {first[:200]}{_shown(text)}{why}", fault) from None


def _shown(text: str) -> str:
    """` <Code>ExpiredToken</Code>` of a store's answer, or ''."""
    return f" <Code>{code_of(text)}</Code>" if code_of(text) else ""
