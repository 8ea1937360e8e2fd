"""Images in a folder, prefix or archive -> manifest and rejects; Ray Data lists and hashes them."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from model import labels
from model.errors import DecodeError
from model.faces.crops import FaceSearch
from pipelines import storage
from pipelines.cluster.errors import plain_errors
from pipelines.images.decoding import guarded_in_task
from pipelines.images.guarded_decoder import DECODER, TIMEOUT_S
from pipelines.manifests import faces, layout, manifest, splits
from pipelines.manifests.labels import utkface
from pipelines.manifests.labels.joining import apply_labels
from pipelines.manifests.labels.sidecar import is_label_file
from pipelines.manifests.options import IngestOptions
from pipelines.manifests.sources.images import (
    LISTED,
    listed_files,
    no_images,
    not_listed,
    packed_away,
)
from pipelines.storage import listing, tables
from pipelines.storage.claims import Claim
from pipelines.storage.exclusion import Exclusion
from pipelines.storage.fetching import ReadFailure, fetch_all
from pipelines.storage.uris import BEFORE_NAME
from pipelines.telemetry.phases import phase, run_id
from pipelines.telemetry.progress import Progress

EXCLUDED = "excluded"  # `stage` of what is no row at all
_PART_ROWS = 200_000  # a manifest part of about 20 MB

_HASHED = pa.schema(
    [
        *((column.name, column.type) for column in LISTED if column.name != "unit"),
        ("content_hash", pa.string()), ("age_years", pa.float32()), ("gender", pa.string()),
        ("race", pa.string()), ("taken_at", pa.timestamp("ms")),
        ("stage", pa.string()), ("reason", pa.string()), ("found", pa.list_(pa.float32())),
        ("beside", pa.string()),
    ]
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Ingested:
    """A manifest in memory, its rejects, and counts worth telling."""

    table: pa.Table
    rejects: pa.Table
    notes: tuple[str, ...] = ()
    label_values: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])

    @property
    def counts(self) -> dict[str, Any]:
        """Counts for the summary and manifest.json; files = manifest + rejects."""
        rows: Any = self.table.select(
            ["split", "duplicate_group", "label_conflict", "age_years", "age_low_years"]
        ).to_pandas()
        grouped = rows[rows["duplicate_group"].notna()]
        return {
            "files": self.table.num_rows + self.rejects.num_rows,
            "manifest": self.table.num_rows,
            "rejects": self.rejects.num_rows,
            "labelled": int(rows[["age_years", "age_low_years"]].notna().any(axis=1).sum()),
            "label_values": dict(self.label_values),
            "splits": {s: int((rows["split"] == s).sum()) for s in splits.SPLITS},
            "duplicate_groups": int(grouped["duplicate_group"].nunique()),
            "duplicate_files": len(grouped),
            "conflicting_groups": int(
                grouped.loc[grouped["label_conflict"], "duplicate_group"].nunique()
            ),
            "fingerprint": manifest.fingerprint(self.table),
        }


def _label_row(row: dict[str, Any], by_name: bool) -> dict[str, Any]:
    """Label one file from its name; what is wrong with it goes into stage and reason."""
    name = re.sub(BEFORE_NAME, "", row["uri"])
    if by_name and not listing.has_image_name(row["uri"]):
        reason = "the name has no image suffix"
        if advice := listing.how_to_unpack(name):
            reason = f"{listing.OTHER_KIND}: {advice}"
        elif why := listing.why_gap(row["uri"]):
            reason = why
        return row | {"stage": "list", "reason": reason}
    if row["bytes"] == 0:
        reason = "the file has no bytes" if row["etag"] else "the file is gone, or a broken link"
        return row | {"stage": "read", "reason": reason}
    parsed = utkface.parse_name(name)
    if isinstance(parsed, str):
        return row | {"stage": "label", "reason": parsed}
    return row | {
        "age_years": float(parsed.age_years),
        "gender": labels.GENDERS[parsed.gender],
        "race": None if parsed.race is None else labels.RACES[parsed.race],
        "taken_at": parsed.taken_at,
    }


def hash_and_label(
    batch: pa.Table, with_hash: bool, search: FaceSearch | None = None, by_name: bool = True,
    beside: bool = False, leave_out: Exclusion | None = None,
) -> pa.Table:  # fmt: skip
    """Read and hash each listed file, parse its name and find its faces; a table of `_HASHED`.

    Args:
        batch: listed files.
        with_hash: read and hash them.
        search: for the faces to find, or None.
        by_name: only those named like images.
        beside: read what may be the label of a picture beside it.
        leave_out: what is excluded, whose rows `assemble` counts.
    """
    rows = [
        row | {"stage": EXCLUDED}
        if leave_out and leave_out(row["uri"])
        else _label_row(row, by_name)
        for row in batch.to_pylist()
    ]
    if beside:
        _read_labels(rows)
    needs_bytes = with_hash or search is not None
    readable = [row for row in rows if row.get("stage") in (None, "label")] if needs_bytes else []
    with guarded_in_task(DECODER, TIMEOUT_S) as decode:
        for row, data in zip(readable, fetch_all(readable), strict=True):
            if isinstance(data, ReadFailure):
                row |= {"stage": "read", "reason": str(data)}
                continue
            if with_hash:
                row["content_hash"] = hashlib.sha256(data).hexdigest()
            if search is not None:
                try:
                    row["found"] = faces.find(data, decode, search)
                except DecodeError as error:
                    row |= {"stage": "decode", "reason": f"{error.reason}: {error}"}
    return pa.Table.from_pylist(rows, schema=_HASHED)


def _read_labels(rows: list[dict[str, Any]]) -> None:
    """Put the text of files that may hold the label of a picture beside them into `beside`."""
    files = [r for r in rows if r.get("stage") == "list" and is_label_file(r["uri"], r["bytes"])]
    for row, data in zip(files, fetch_all(files), strict=True):
        if not isinstance(data, ReadFailure):
            row["beside"] = data.decode(errors="replace")


def ingest(options: IngestOptions) -> Ingested:
    """List, hash and label all files of `options.place`.

    The driver peaks at 1 kB a file (docs/benchmarks/memory.md); images never reach it.

    Raises:
        StorageError: the images or the labels cannot be read.
        ManifestError: nothing there is an image, or no label matches.
    """
    storage.require_readable(options.place, "`images`")
    next(listing.list_files(options.place, limit=1), None)  # not a tar? say so before Ray does
    hashed = listed_files(options.place, leave_out=options.leave_out).map_batches(
        hash_and_label,
        batch_size=None,
        batch_format="pyarrow",
        fn_kwargs={
            "with_hash": options.hash == "content",
            "beside": options.labels is None and options.label_format in ("auto", "sidecar"),
            "leave_out": options.leave_out,
            "by_name": not listing.is_list(options.place),
            "search": None if options.faces == "crop" else options.detection.search,
        },
    )
    progress = Progress("ingest", None, "files")
    parts: list[pa.Table] = []
    with phase("hash") as facts, plain_errors():
        for part in hashed.iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=1
        ):
            parts.append(part.select(_HASHED.names).cast(_HASHED))
            progress.advance(part.num_rows)
        facts["files"] = progress.done
    progress.close()
    with phase("label") as facts:
        ingested = assemble(parts, options)
        facts["rows"], facts["rejects"] = ingested.table.num_rows, ingested.rejects.num_rows
    return ingested


def assemble(parts: list[pa.Table], options: IngestOptions) -> Ingested:
    """Give all hashed files their labels, groups and splits; `parts` is emptied to save memory.

    Raises:
        ManifestError: see `ingest`.
    """
    rows: Any = tables.concat(parts, _HASHED).to_pandas()
    parts.clear()
    is_excluded = rows["stage"] == EXCLUDED
    excluded = int(is_excluded.sum())
    rows = rows[~is_excluded].reset_index(drop=True)
    packed = rows.loc[rows["stage"] == "list", "uri"]
    packed = packed[[listing.how_to_unpack(uri) is not None for uri in packed]].to_list()
    listed: list[str] = rows.loc[rows["stage"] == "list", "uri"].to_list()
    gaps = [uri for uri in listed if uri.endswith("/")]
    if not (rows["stage"].isna() | (rows["stage"] == "label")).any():
        raise no_images(options.place, len(rows), packed, gaps)
    rows, told = apply_labels(rows, options)
    rows = rows.drop(columns="beside")
    if options.faces == "crop":
        rows = rows.drop(columns="found")
    else:
        rows = faces.assign(rows, keep_whole=options.faces == "both")
    bad = rows["stage"].notna()
    rejects = pa.Table.from_pandas(
        rows.loc[bad, manifest.REJECTS_SCHEMA.names],
        schema=manifest.REJECTS_SCHEMA,
        preserve_index=False,
    )
    good = splits.with_groups(rows[~bad].drop(columns=["stage", "reason"]), options.rule)
    notes = (*told.notes, *([packed_away(packed)] if packed else []))
    if excluded:
        notes = (*notes, f"excluded: {excluded:,} files, by `exclude`")
    if gaps:
        notes = (*notes, not_listed(gaps))
    return Ingested(manifest.to_table(good), rejects, notes, told.counts)


def require_own(options: IngestOptions, output: str) -> None:
    """Refuse an output that is another manifest's.

    Raises:
        UsageError: it holds a manifest of other images or options.
    """
    Claim(
        output,
        layout.RECORD,
        "manifest",
        options.identity(),
        {"exclude": None},
        under="options",
        advice="",
    ).require_own()


def write_ingested(result: Ingested, options: IngestOptions, output: str) -> dict[str, Any]:
    """Write manifest/, rejects/ and, last, manifest.json; returns what stands in it.

    Raises:
        UsageError: the output holds a manifest of other images or options.
    """
    marker = storage.join(output, layout.RECORD)
    require_own(options, output)
    storage.delete(marker)
    record = {
        "format": layout.FORMAT, "run_id": run_id(), **result.counts, "options": options.identity(),
        "notes": list(result.notes),
    }  # fmt: skip
    with phase("write"):
        # Rejects first: with a part of each and no record, a reader knows that this is not done.
        for kind, table in ((layout.REJECTS, result.rejects), (layout.FOLDER, result.table)):
            for old in tables.list_parquet(storage.join(output, kind)):
                storage.delete(old)
            for number, start in enumerate(range(0, max(table.num_rows, 1), _PART_ROWS)):
                rows = table.slice(start, _PART_ROWS)
                tables.write_table(layout.part(output, kind, number), rows)
        tables.write_json(marker, record)
    return record


def ingest_to(options: IngestOptions, output: str) -> dict[str, Any]:
    """Ingest and write; returns manifest.json.

    Raises:
        FacemillError: see `ingest` and `write_ingested`.
    """
    return write_ingested(ingest(options), options, output)


def summary(record: dict[str, Any], output: str) -> list[tuple[str, object]]:
    """manifest.json for people."""
    splits = ", ".join(f"{name} {count:,}" for name, count in record["splits"].items())
    return [
        (
            "files",
            f"{record['files']:,} = {record['manifest']:,} manifest "
            f"+ {record['rejects']:,} rejects",
        ),
        ("splits", splits),
        (
            "duplicates",
            f"{record['duplicate_groups']:,} groups of {record['duplicate_files']:,} files, "
            f"{record['conflicting_groups']:,} groups with conflicting labels",
        ),
        *(("note", note) for note in record["notes"]),
        ("output", output),
    ]
