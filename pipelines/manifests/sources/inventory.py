"""An Amazon S3 Inventory in Parquet as the list of inputs, instead of a million list requests.

Source: "Amazon S3 Inventory", AWS User Guide: a report is a `manifest.json` that names the data
files in the destination bucket and the columns in them.
"""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute

from model.errors import ManifestError, StorageError
from pipelines import storage
from pipelines.storage import tables

_SUFFIX = "manifest.json"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}Z")  # of a report's folder, by the User Guide
pc: Any = pyarrow.compute  # its stubs know no chunked arrays


@dataclasses.dataclass(frozen=True)
class Inventory:
    """The current objects of the report whose manifest.json is at `uri`."""

    uri: str
    by_name: bool = False

    def identity(self) -> dict[str, Any]:
        """What all reports of one inventory share."""
        return {"manifest": inventory_uri(self.uri)}

    def parts(self) -> Iterator[pa.Table]:
        """The objects, one data file at a time; jobs.verify finds keys that are named twice."""
        return read_inventory(self.uri)

    def preview(self, most: int | None = None) -> Iterator[pa.Table]:
        """All objects."""
        del most
        return read_inventory(self.uri)

    def require_readable(self, output: str) -> None:
        """See `Source`."""
        del output
        storage.require_readable(self.uri, "`manifest`")


def is_inventory(uri: str) -> bool:
    """Whether `uri` is the manifest.json of an S3 Inventory report."""
    if not uri.endswith("/" + _SUFFIX):
        return False
    try:
        report = tables.read_json(uri)
    except (FileNotFoundError, StorageError):
        return False
    return "fileFormat" in report and "destinationBucket" in report


def inventory_uri(uri: str) -> str:
    """What all reports of one inventory share: `…/2026-11-02T01-00Z/manifest.json` less its end.

    Any other URI is returned as it is.
    """
    folder, _, name = uri.rpartition("/")
    before, _, last = folder.rpartition("/")
    return before if name == _SUFFIX and _DATE.fullmatch(last) else uri


def read_inventory(uri: str) -> Iterator[pa.Table]:
    """The current objects of a report: columns uri, bytes, etag; one data file at a time.

    Args:
        uri: of its manifest.json, in S3 or copied to a folder with the data files beside it.

    Raises:
        ManifestError: the report is not Parquet, or lacks the columns bucket and key.
    """
    report = tables.read_json(uri)
    if report["fileFormat"] != "Parquet":
        raise ManifestError(
            f"{uri} is an inventory in {report['fileFormat']}: let S3 write it as Apache Parquet"
        )
    with tables.record_read(uri):
        files = [_data_uri(uri, report, str(file["key"])) for file in report["files"]]
    for file in files:
        yield _objects(file)


def _data_uri(uri: str, report: dict[str, Any], key: str) -> str:
    """Where a data file is: in the destination bucket, or beside a downloaded manifest.json."""
    if not storage.is_local(uri):
        return storage.join("s3://" + report["destinationBucket"].rpartition(":")[2], key)
    return storage.join(uri.rpartition("/")[0], key.rpartition("/")[2])


def _objects(uri: str) -> pa.Table:
    """The rows of one data file that are images to be: no delete markers, no old versions."""
    objects = tables.read_table(uri)
    missing = [name for name in ("bucket", "key") if name not in objects.column_names]
    if missing:
        raise ManifestError(f"inventory file {uri} lacks the column {', '.join(missing)}")
    for name, wanted in (("is_latest", True), ("is_delete_marker", False)):
        if name in objects.column_names:
            flags = pc.fill_null(objects[name].cast(pa.bool_()), wanted)
            objects = objects.filter(flags if wanted else pc.invert(flags))
    folders = pc.ends_with(objects["key"], "/")
    objects = objects.filter(pc.invert(folders))
    # Keys are URL-encoded in CSV reports only (same source, "Inventory list").
    uris = pc.binary_join_element_wise("s3:/", objects["bucket"], objects["key"], "/")
    nulls = pa.nulls(objects.num_rows)
    size: Any = objects["size"] if "size" in objects.column_names else nulls
    etag: Any = objects["e_tag"] if "e_tag" in objects.column_names else nulls
    etag = pc.utf8_trim(etag.cast(pa.string()), '"')
    columns = [uris, size.cast(pa.int64()), etag]
    return pa.Table.from_arrays(columns, names=["uri", "bytes", "etag"])
