"""Object stores as file systems of pyarrow, which Ray Train takes its storage through."""

from typing import Any

import pyarrow.fs
from obstore.fsspec import FsspecStore

from pipelines.storage.clients import google_settings, require_account, s3_files


def store_filesystem(scheme: str) -> pyarrow.fs.FileSystem:
    """The file system of s3, gs or az.

    S3 through s3fs: pyarrow's own client puts an empty `prefix/` object for every folder, which
    some stores refuse (rclone answers 500).
    """
    bridge: Any = pyarrow.fs.FSSpecHandler  # its stub says abstract
    options: Any = {"client_options": {"allow_http": True}}
    if scheme == "s3":
        files = s3_files()
    elif scheme == "gs":
        files = _Files("gs", config=google_settings(), **options)
    else:
        require_account()
        files = _Files("az", **options)
    return pyarrow.fs.PyFileSystem(bridge(files))


class _Files(FsspecStore):
    """obstore's, which takes bytes and not pyarrow's buffers."""

    def _open(self, path: str, mode: Any = "rb", *args: Any, **kwargs: Any) -> Any:
        file: Any = super()._open(path, mode, *args, **kwargs)
        if mode == "wb":
            write = file.write
            file.write = lambda data: write(bytes(data))
        return file
