"""Rows that the caller holds already, such as the labelled ones of a split."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipelines.manifests.manifest import fingerprint, pictures
from pipelines.manifests.sources.manifest import as_listed, require_unique_uris


@dataclasses.dataclass(frozen=True)
class Rows:
    """Manifest rows, and the URI of where they come from; of several faces a picture is one."""

    uri: str
    table: pa.Table
    by_name: bool = False

    def identity(self) -> dict[str, Any]:
        """The URI and the fingerprint of the rows."""
        return {"table": self.uri, "fingerprint": fingerprint(self.table)}

    def parts(self) -> Iterator[pa.Table]:
        """All pictures, in one table."""
        yield as_listed(require_unique_uris(pictures(self.table), self.uri))

    def preview(self, most: int | None = None) -> Iterator[pa.Table]:
        """All pictures."""
        del most
        yield as_listed(pictures(self.table))

    def require_readable(self, output: str) -> None:
        """See `Source`: they have been read."""
