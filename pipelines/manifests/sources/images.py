"""A folder, a prefix or an archive of images: every file below it, listed in parallel."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from model.errors import ManifestError
from pipelines import storage
from pipelines.cluster.errors import plain_errors
from pipelines.manifests.sources.passthrough import schema_below, with_passthrough
from pipelines.storage import listing, uri_lists
from pipelines.storage.exclusion import Exclusion
from pipelines.telemetry.log import note
from pipelines.telemetry.progress import Progress

LISTED = pa.schema(
    [
        ("uri", pa.string()), ("bytes", pa.int64()), ("etag", pa.string()), ("offset", pa.int64()),
        ("unit", pa.string()),
    ]
)  # fmt: skip
_NOTHING = pa.schema([])


@dataclasses.dataclass
class _LeftOut:
    """What a listing holds that is no image.

    Attributes:
        packed: archives of kinds that are not read.
        gaps: folders that cannot be listed.
        excluded: how many entries match a pattern of `exclude`.
        lines: of a list that are no input, or no uri, by kind: see `list_uris`.
    """

    packed: list[str] = dataclasses.field(default_factory=list[str])
    gaps: list[str] = dataclasses.field(default_factory=list[str])
    excluded: int = 0
    lines: Counter[str] = dataclasses.field(default_factory=Counter[str])

    def clear(self) -> None:
        """Count anew."""
        self.packed, self.gaps, self.excluded = [], [], 0
        self.lines.clear()

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each kind, but for what was excluded."""
        sentences = ((self.packed, packed_away), (self.gaps, not_listed))
        told = [sentence(names) for names, sentence in sentences if names]
        if self.lines:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.lines.items())
            told.append(f"lines of the list: {kinds}")
        return tuple(told)


@dataclasses.dataclass(frozen=True)
class Images:
    """All files below the folder or prefix `uri`, or in the archive or list that it is.

    Attributes:
        keep: names of columns that pictures in Parquet have beside them, for the predictions.
        exclude: patterns of what is left out.
    """

    uri: str
    keep: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    _left: "_LeftOut" = dataclasses.field(
        default_factory=lambda: _LeftOut(), compare=False, repr=False
    )

    def __post_init__(self) -> None:
        """Check the patterns: see `Exclusion`."""
        _ = self.leave_out

    @property
    def leave_out(self) -> Exclusion:
        """Whether an entry is excluded."""
        return Exclusion(self.uri, self.exclude)

    @property
    def excluded(self) -> int:
        """How many entries, or lines of a list, the last listing left out."""
        return self._left.excluded + sum(self._left.lines[kind] for kind in uri_lists.LEFT_OUT)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be told of the last listing."""
        excluded = self._left.excluded
        told = (f"excluded: {excluded:,} files, by `exclude`",) if excluded else ()
        return (*self._left.notes, *told)

    @property
    def by_name(self) -> bool:
        """See `Source`: what a list names has been chosen."""
        return not _is_list(self.uri)

    def identity(self) -> dict[str, Any]:
        """The URI, and the columns."""
        return {
            "images": self.uri,
            **({"passthrough": self.keep} if self.keep else {}),
            **({"exclude": sorted({*self.exclude})} if self.exclude else {}),
        }

    def parts(self) -> Iterator[pa.Table]:
        """All files: see `listed`; what is lost is noted, and what is excluded only counted."""
        yield from self.listed()
        for text in self._left.notes:
            note(f"note: {text}")

    def listed(self) -> Iterator[pa.Table]:
        """All files, with progress; in parallel on Ray where there are folders to share out.

        Raises:
            ManifestError: none of them is named like an image.
        """
        self._left.clear()
        progress, left = Progress("list", None, "files"), self._left
        named = False
        for part in map(self._without_excluded, self._listed()):
            uris: list[Any] = part["uri"].to_pylist()
            named = named or not self.by_name or any(map(listing.has_image_name, uris))
            left.packed += filter(listing.how_to_unpack, uris)
            left.gaps += (uri for uri in uris if uri.endswith("/"))
            progress.advance(part.num_rows)
            yield part
        if not named:
            raise self.no_images(progress.done)
        progress.close()

    def no_images(self, files: int) -> ManifestError:
        """What to say where the last listing, of so many files, holds no image."""
        count = f"{files} files, none of them" if files else "no files, so no"
        suffixes = " ".join(sorted(listing.IMAGE_SUFFIXES))
        more = "".join(f"; {note}" for note in self._left.notes)
        if files > len(self._left.packed) + len(self._left.gaps):
            more += (
                "; files of other names are read from a list: write their paths into a .txt, one "
                "per line, and give that as `images`"
            )
        return ManifestError(
            f"`images` {self.uri} holds {count} images: image suffixes are {suffixes}{more}"
        )

    def _listed(self) -> Iterator[pa.Table]:
        roots, kept = listing.list_roots(self.uri), schema_below(self.uri, self.keep)
        # A flat folder is one stream anyway, and starting Ray Data for it costs some seconds.
        if len(roots) == 1:
            (root, descend), lines = roots[0], self._left.lines
            batch = {"root": [root], "descend": [descend]}
            yield from list_entries(batch, kept, self.leave_out, lines)
            return
        import ray

        rows = [{"root": root, "descend": descend} for root, descend in roots]
        list_some: Any = list_entries  # Ray's stubs want a function of every batch format at once
        how = {"kept": kept, "leave_out": self.leave_out}
        listed: Any = ray.data.from_items(rows, override_num_blocks=min(len(rows), 64)).map_batches(
            list_some, batch_size=1, num_cpus=0.1, fn_kwargs=how
        )
        with plain_errors():
            yield from listed.iter_batches(batch_size=None, batch_format="pyarrow")

    def _without_excluded(self, part: pa.Table) -> pa.Table:
        """The rows that are not excluded; the others are counted."""
        if not self.exclude:
            return part
        leave_out, uris = self.leave_out, part["uri"].to_pylist()
        kept: Any = pa.array([not leave_out(str(uri)) for uri in uris], pa.bool_())
        left = part.filter(kept)
        self._left.excluded += part.num_rows - left.num_rows
        return left

    def preview(self, most: int | None = None) -> Iterator[pa.Table]:
        """The files up to `most`, listed by this process."""
        listed, kept = 0, schema_below(self.uri, self.keep)
        parts = list_entries({"root": [self.uri], "descend": [True]}, kept, self.leave_out)
        for part in map(self._without_excluded, parts):
            yield part
            listed += part.num_rows
            if most is not None and listed > most:
                return

    def require_readable(self, output: str) -> None:
        """See `Source`."""
        storage.require_readable(self.uri, "`images`")
        schema_below(self.uri, self.keep)
        listing.require_apart(self.uri, output)


_is_list = functools.lru_cache(maxsize=64)(listing.is_list)  # asked for every part of a listing


def packed_away(archives: Sequence[str]) -> str:
    """What to say of archives that are not read and lie beside pictures."""
    are = "1 file is of a kind that is not read"
    if len(archives) > 1:
        are = f"{len(archives):,} files are of kinds that are not read"
    return f"{are} (the first: {archives[0]}): {listing.how_to_unpack(archives[0])}"


def not_listed(folders: Sequence[str]) -> str:
    """What to say of folders whose images are lost to a run."""
    are = "1 folder cannot be listed"
    if len(folders) > 1:
        are = f"{len(folders):,} folders cannot be listed"
    return f"{are} (the first: {folders[0]}), and the images below are left out"


def list_entries(
    batch: dict[str, Any],
    kept: pa.Schema = _NOTHING,
    leave_out: Exclusion | None = None,
    lines: "Counter[str] | None" = None,
) -> Iterator[pa.Table]:
    """List one root a row, as tables of at most 10,000 files, with the columns that are kept."""
    for root, descend in zip(batch["root"], batch["descend"], strict=True):
        entries: list[dict[str, Any]] = []
        listed = listing.list_files(
            str(root), descend=bool(descend), leave_out=leave_out, lines=lines
        )
        for entry in listed:
            entries.append(dataclasses.asdict(entry))
            if len(entries) == 10_000:
                yield with_passthrough(pa.Table.from_pylist(entries, schema=LISTED), kept)
                entries = []
        yield with_passthrough(pa.Table.from_pylist(entries, schema=LISTED), kept)
