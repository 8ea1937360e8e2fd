"""URIs: a local path or `s3://bucket/key`, made absolute once; they never hold a credential.

Likewise `gs://bucket/key` of Google's store and `az://container/key` of Azure's.
"""

import os
import re

from model.errors import StorageError

# Files whose members are inputs; a member's URI is `faces.tar#folder/name.jpg`.
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip", ".parquet")
BEFORE_NAME = r"^.*(?:/|(?i:\.tar|\.tar\.gz|\.tgz|\.zip|\.parquet|\.csv)#)"  # RE2 and Python's own
_MEMBER = re.compile(r"(\.tar|\.tar\.gz|\.tgz|\.zip|\.parquet|\.csv)#", re.IGNORECASE)
_ROW = re.compile(r"\.(parquet|csv)#\d+$", re.IGNORECASE)
_STORES = ("s3://", "gs://", "az://")
_WEB = ("http://", "https://")
_OTHER_NAMES = {"gcs": "gs", "s3a": "s3", "s3n": "s3", "wasb": "abfs", "wasbs": "abfs"}
# The addresses of the web that stores give to objects: the group that matched last is its scheme.
_WEB_OF_STORES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"https?://(?P<bucket>[^/]+?)\.s3[.-][^/]*amazonaws\.com(?P<s3>/[^?]*|)$",
        r"https?://s3[.-][^/]*amazonaws\.com/(?P<bucket>[^/]+)(?P<s3>/[^?]*|)$",
        r"https?://storage\.(?:googleapis|cloud\.google)\.com/(?P<bucket>[^/]+)(?P<gs>/[^?]*|)$",
        r"https?://[^/]+\.blob\.core\.windows\.net/(?P<bucket>[^/]+)(?P<az>/[^?]*|)$",
    )
)
_ABFS = re.compile(
    r"abfss?://(?P<container>[^/@]*)(?:@(?P<account>[^/.]+)\.[^/]+)?(?P<path>/.*|)$", re.DOTALL
)
_CREDENTIAL = re.compile(
    r"://[^/]*@|[?&](\w*secret\w*|\w*access_?key\w*|x-amz-\w+|x-goog-\w+|sig)=", re.IGNORECASE
)


def normalize(uri: str) -> str:
    """An absolute local path, or the URI of an object without a trailing slash.

    abfs:// and wasb:// become az://, gcs:// becomes gs://, s3a:// and s3n:// become s3://.

    Raises:
        StorageError: the scheme is not supported, or it holds a credential.
    """
    if not uri.strip():
        raise StorageError("a path is empty: is it an unset variable?")
    uri = _plain(uri)
    if _CREDENTIAL.search(uri):  # it would end up in lineage and logs
        raise StorageError("a URI holds a credential: give it as AWS_ACCESS_KEY_ID and the like")
    if slip := re.match(r"(s3|gs|az):/?(?!/)", uri):
        raise StorageError(f"{uri!r} lacks a slash: write {slip[1]}://bucket/prefix")
    if is_web(uri):
        if found := next((m for p in _WEB_OF_STORES if (m := p.match(uri))), None):
            scheme, bucket, key = found.lastgroup, found["bucket"], found[str(found.lastgroup)]
            raise StorageError(f"{uri}: write {scheme}://{bucket}{key}")
        raise StorageError(
            f"{uri} is read from a list only: write it into a .txt, one per line, and give that as "
            "`images`"
        )
    if not is_local(uri):
        if not split_bucket(uri)[0]:
            scheme = uri.partition("://")[0]
            raise StorageError(f"{uri!r} names no bucket: write {scheme}://bucket/prefix")
        return uri.rstrip("/")
    if uri.startswith("arn:aws:s3:::"):
        raise StorageError(f"{uri}: write s3://{uri.removeprefix('arn:aws:s3:::')}")
    if host := re.match(r"file://([^/]+)", uri):
        raise StorageError(f"{uri} is on the host {host[1]}: give its path as this machine has it")
    if "://" in uri and not uri.startswith("file://"):
        scheme = uri.split("://", 1)[0]
        raise StorageError(
            f"{scheme}:// is not supported: use a local path, s3://bucket/prefix, "
            "gs://bucket/prefix or az://container/prefix"
        )
    return os.path.abspath(os.path.expanduser(re.sub(r"^file:(//)?(?=/)", "", uri)))


def _plain(uri: str) -> str:
    """One of the schemes of `_STORES` for its other names.

    Raises:
        StorageError: abfs:// names another account than the environment.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        uri = f"{_OTHER_NAMES.get(scheme.lower(), scheme.lower())}://{rest}"
    match = _ABFS.match(uri)
    if match is None:
        return uri
    container, account, path = match["container"], match["account"], match["path"]
    ours = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    if account is not None and account != ours:
        raise StorageError(
            f"{uri} is in the account {account}, and AZURE_STORAGE_ACCOUNT_NAME is {ours}: set it "
            "to that account"
        )
    return f"az://{container}{path}"


def is_local(uri: str) -> bool:
    """Whether a normalized URI is a path on this machine."""
    return not uri.startswith((*_STORES, *_WEB))


def is_web(uri: str) -> bool:
    """Whether it is an address of the web, which only lists hold."""
    return uri.lower().startswith(_WEB)


def is_archive_name(uri: str) -> bool:
    """Whether a file of this name is read as its members."""
    return uri.lower().endswith(ARCHIVE_SUFFIXES)


def file_of(uri: str) -> str:
    """The archive that a member's URI lies in; any other URI as it is."""
    mark = _MEMBER.search(uri)
    return uri[: mark.end() - 1] if mark and not is_web(uri) else uri


def is_row(uri: str) -> bool:
    """Whether it is a row of a Parquet file, or of a CSV of pixels."""
    return _ROW.search(uri) is not None and not is_web(uri)


def split_bucket(uri: str) -> tuple[str, str]:
    """`s3://bucket/some/key` -> (bucket, some/key). Keys are raw, never %-escaped."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key


def join(uri: str, *parts: str) -> str:
    """Append path parts to a URI."""
    return "/".join([uri.rstrip("/"), *parts])
