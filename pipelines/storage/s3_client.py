"""What the AWS variables say, and s3fs for what obstore cannot do in S3."""

import os
import re
from typing import Any

from model.errors import StorageError


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
