"""URIs: a local path or `s3://bucket/key`, made absolute once; they never hold a credential."""

import os
import re

from model.errors import StorageError

# Files whose members are inputs; a member's URI is `faces.tar#folder/name.jpg`.
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip", ".parquet")
BEFORE_NAME = r"^.*(?:/|(?i:\.tar|\.tar\.gz|\.tgz|\.zip|\.parquet)#)"  # RE2 and Python's own
_MEMBER = re.compile(r"(\.tar|\.tar\.gz|\.tgz|\.zip|\.parquet)#", re.IGNORECASE)
_ROW = re.compile(r"\.parquet#\d+$", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"://[^/]*@|[?&](\w*secret\w*|\w*access_?key\w*|x-amz-\w+)=", re.IGNORECASE
)


def normalize(uri: str) -> str:
    """An absolute local path, or the s3:// URI without a trailing slash.

    Raises:
        StorageError: the scheme is not supported, or it holds a credential.
    """
    if _CREDENTIAL.search(uri):  # it would end up in lineage and logs
        raise StorageError("a URI holds a credential: give it as AWS_ACCESS_KEY_ID and the like")
    if re.match(r"s3:/?(?!/)", uri):
        raise StorageError(f"{uri!r} lacks a slash: write s3://bucket/prefix")
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


def is_archive_name(uri: str) -> bool:
    """Whether a file of this name is read as its members."""
    return uri.lower().endswith(ARCHIVE_SUFFIXES)


def file_of(uri: str) -> str:
    """The archive that a member's URI lies in; any other URI as it is."""
    mark = _MEMBER.search(uri)
    return uri[: mark.end() - 1] if mark else uri


def is_row(uri: str) -> bool:
    """Whether it is a row of a Parquet file."""
    return _ROW.search(uri) is not None


def split_s3(uri: str) -> tuple[str, str]:
    """`s3://bucket/some/key` -> (bucket, some/key). Keys are raw, never %-escaped."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def join(uri: str, *parts: str) -> str:
    """Append path parts to a URI."""
    return "/".join([uri.rstrip("/"), *parts])
