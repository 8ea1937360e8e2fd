"""A manifest of `jobs.ingest`, or any Parquet with a uri column, as the list of inputs."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model.errors import ManifestError
from pipelines import storage
from pipelines.manifests.layout import read_parquet
from pipelines.manifests.manifest import pictures, read_manifest
from pipelines.manifests.sources.passthrough import passthrough_schema


@dataclasses.dataclass(frozen=True)
class ManifestRows:
    """The pictures of the manifest at `uri`, with those of its columns that are kept."""

    uri: str
    by_name: bool = False
    keep: tuple[str, ...] = ()

    def identity(self) -> dict[str, Any]:
        """The URI, and the columns."""
        return {"manifest": self.uri, **({"passthrough": self.keep} if self.keep else {})}

    def parts(self) -> Iterator[pa.Table]:
        """All pictures, in one table."""
        yield require_unique_uris(self._pictures(), self.uri)

    def preview(self, most: int | None = None) -> Iterator[pa.Table]:
        """All pictures."""
        del most
        yield self._pictures()

    def require_readable(self, output: str) -> None:
        """See `Source`."""
        del output
        storage.require_readable(self.uri, "`manifest`")
        if self.keep:
            self._kept()

    def _pictures(self) -> pa.Table:
        rows = read_manifest(self.uri)
        kept = self._kept() if self.keep else {}
        for name, column in kept.items():
            rows = rows.drop_columns(name) if name in rows.column_names else rows
            rows = rows.append_column(name, column)
        return as_listed(pictures(rows), self.keep)

    def _kept(self) -> dict[str, Any]:
        _, table = read_parquet(self.uri)
        schema = passthrough_schema(self.uri, table.schema, self.keep)
        return {name: table[name] for name in schema.names}


def as_listed(table: pa.Table, keep: Sequence[str] = ()) -> pa.Table:
    """The columns of a manifest that a listing has, and those that are kept."""
    return table.select(["uri", "bytes", "offset", "etag", *keep])


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
