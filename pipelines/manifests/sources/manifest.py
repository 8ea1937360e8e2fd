"""A manifest of `jobs.ingest`, or any Parquet with a uri column, as the list of inputs."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model.errors import ManifestError
from pipelines import storage
from pipelines.manifests.manifest import pictures, read_manifest


@dataclasses.dataclass(frozen=True)
class ManifestRows:
    """The pictures of the manifest at `uri`."""

    uri: str
    by_name: bool = False

    def identity(self) -> dict[str, Any]:
        """The URI."""
        return {"manifest": self.uri}

    def parts(self) -> Iterator[pa.Table]:
        """All pictures, in one table."""
        yield require_unique_uris(pictures(read_manifest(self.uri)), self.uri)

    def preview(self, most: int | None = None) -> Iterator[pa.Table]:
        """All pictures."""
        del most
        yield pictures(read_manifest(self.uri))

    def require_readable(self, output: str) -> None:
        """See `Source`."""
        del output
        storage.require_readable(self.uri, "`manifest`")


def require_unique_uris(table: pa.Table, source_uri: str) -> pa.Table:
    """The table, if it names no uri twice.

    Raises:
        ManifestError: it does.
    """
    count = len(pc.unique(table["uri"]))
    if count < table.num_rows:
        raise ManifestError(
            f"{source_uri} names {table.num_rows - count:,} of its {table.num_rows:,} uris more "
            "than once, and each input is one row: drop the duplicates"
        )
    return table
