"""Where the files of an ingest's output lie, and whether they are whole.

OUTPUT/rejects/part-00000.parquet    put first
OUTPUT/manifest/part-00000.parquet
OUTPUT/manifest.json                 written last; a refresh takes it away before all else
"""

import contextlib
from typing import Any

import pyarrow as pa

from model.errors import ManifestError
from pipelines import storage
from pipelines.storage import tables

FORMAT = 1  # of the record
FOLDER, REJECTS, RECORD = "manifest", "rejects", "manifest.json"


def part(output: str, folder: str, number: int) -> str:
    """URI of a part of FOLDER or REJECTS."""
    return storage.join(output, folder, f"part-{number:05d}.parquet")


def read_parquet(uri: str) -> tuple[str, pa.Table]:
    """The Parquet file or folder of a manifest, and all that is in it.

    Args:
        uri: an output of `jobs.ingest`, its `manifest` folder, or any Parquet file or folder.

    Raises:
        ManifestError: `jobs.ingest` has not finished it, or refreshed it meanwhile.
        StorageError: there is no Parquet file, or one is damaged.
    """
    if uri.endswith(".parquet"):
        return uri, tables.read_table(uri)
    output, record = _output_of(uri)
    folder = uri if record is None else storage.join(output, FOLDER)
    table = tables.read_table(folder)
    if _output_of(uri) != (output, record):
        raise _unfinished(output)
    return folder, table


def _output_of(uri: str) -> tuple[str, dict[str, Any] | None]:
    """The output of `jobs.ingest` that `uri` is, or is the folder of, and its record; else None.

    Raises:
        ManifestError: it is not finished.
        StorageError: its record is damaged, or a newer facemill wrote it.
    """
    above, _, name = uri.rpartition("/")
    for output in (uri, above) if name == FOLDER else (uri,):
        record_uri = storage.join(output, RECORD)
        with contextlib.suppress(FileNotFoundError):
            record = tables.read_json(record_uri)
            return output, dict(tables.require_known(record_uri, record, FORMAT))
        if storage.exists(part(output, REJECTS, 0)):
            raise _unfinished(output)
    return uri, None


def _unfinished(output: str) -> ManifestError:
    return ManifestError(
        f"manifest {output} is not finished: {RECORD}, which jobs.ingest writes last, is missing "
        "or new; wait for that job, or give its command again"
    )
