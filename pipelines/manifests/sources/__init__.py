"""Where inputs come from: one file a kind of source, each with the same few questions to answer.

A new kind is a file here with a class like `Images`, and a line in `open_source`.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa

from model.errors import UsageError
from pipelines import storage


class Source(Protocol):
    """What is to be scored.

    Attributes:
        by_name: files that are not named like images are left out, as rows of the quarantine:
            right for a listing, and not for inputs that somebody chose one by one.
    """

    @property
    def by_name(self) -> bool:
        """See the class."""
        ...

    def identity(self) -> dict[str, Any]:
        """What job.json says of it: a run over another source is another run."""
        ...

    def parts(self) -> Iterator[pa.Table]:
        """All inputs, as tables with at least uri; bytes, offset and etag where they are known.

        Raises:
            ManifestError: there is no input, or a uri is named twice.
        """
        ...

    def preview(self, most: int | None = None) -> Iterator[pa.Table]:
        """The same without starting anything, and without checks; may end after `most` inputs."""
        ...

    def require_readable(self, output: str) -> None:
        """Fail early, in one sentence, where it cannot be read or holds the output.

        Raises:
            UsageError: see the message.
        """
        ...


def open_source(
    images: tuple[str, ...],
    manifest: str | None,
    keep: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
) -> Source:
    """The source that options name.

    Args:
        images: one folder, prefix or archive, or nothing.
        manifest: instead: output of jobs.ingest, a Parquet with a uri column, or an S3 Inventory.
        keep: columns of it that go into the predictions.
        exclude: patterns of what is left out of images.

    Raises:
        UsageError: both, neither, several places, or one without columns where some are kept.
    """
    from pipelines.manifests.sources.images import Images
    from pipelines.manifests.sources.inventory import Inventory, is_inventory
    from pipelines.manifests.sources.manifest import ManifestRows
    from pipelines.manifests.sources.passthrough import no_columns

    if bool(images) == (manifest is not None):
        raise UsageError("give either `images` or `manifest`")
    if manifest is not None:
        if exclude:
            raise UsageError("`exclude` goes with `images`: leave the rows out of the manifest")
        uri = storage.normalize(manifest)
        if not is_inventory(uri):
            return ManifestRows(uri, keep=keep)
        if keep:
            raise no_columns(uri, keep)
        return Inventory(uri)
    if len(images) > 1:
        raise UsageError(
            f"`images` names {len(images)} places: with `output` give one folder, prefix or "
            "archive (leave `output` out to print predictions for a few images)"
        )
    return Images(storage.normalize(next(iter(images))), keep, exclude)
