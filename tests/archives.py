"""Pictures packed as people pack them: Parquet with a column of images, .zip, .tar.gz."""

import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage.listing import list_files


def parquet_of(
    pictures: Sequence[bytes | None],
    columns: Mapping[str, Any] | None = None,
    kind: str = "struct",
    group_rows: int = 4,
    name: str = "image",
) -> bytes:
    """A Parquet file with a column of pictures, as Hugging Face writes it, or plain."""
    image = (
        pa.array([{"bytes": data, "path": f"{i}.jpg"} for i, data in enumerate(pictures)],
                 pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
        if kind == "struct"
        else pa.array(pictures, pa.binary())
    )  # fmt: skip
    sink = io.BytesIO()
    table = pa.table({name: image, **(columns or {})})
    pq.write_table(table, sink, row_group_size=group_rows)
    return sink.getvalue()


def zip_of(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A .zip of files."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return sink.getvalue()


def tar_of(members: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    """A .tar.gz of files, or with `w` a .tar."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def rows_of(uri: str) -> list[dict[str, Any]]:
    """What a listing yields, as `fetch_all` takes it."""
    return [{"uri": e.uri, "offset": e.offset, "bytes": e.bytes} for e in list_files(uri)]


def pictures_of(folder: Path, count: int) -> list[bytes]:
    """The first pictures of a folder."""
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))[:count]]
