"""Images in a folder, prefix or archive -> manifest and rejects.

List, label by names and by what lies beside, then read: a mistake in the labels costs a listing and
not a pass over all images, and an image without a label is never read.
"""

import contextlib
import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from model import labels
from model.errors import DecodeError
from model.faces.crops import FaceSearch
from pipelines import storage
from pipelines.cluster.errors import plain_errors
from pipelines.images.decoding import guarded_in_task
from pipelines.images.guarded_decoder import DECODER, TIMEOUT_S
from pipelines.manifests import faces, layout, manifest, splits
from pipelines.manifests.labels import joining, utkface
from pipelines.manifests.labels.sidecar import is_label_file
from pipelines.manifests.options import IngestOptions
from pipelines.manifests.sources.images import Images
from pipelines.storage import listing, tables
from pipelines.storage.claims import Claim
from pipelines.storage.fetching import ReadFailure, fetch_all
from pipelines.storage.uri_lists import why_no_uri
from pipelines.storage.uris import BEFORE_NAME
from pipelines.telemetry.phases import phase, run_id
from pipelines.telemetry.progress import Progress

_PART_ROWS = 200_000  # a manifest part of about 20 MB
_BLOCK_ROWS = 2_000  # files that a task reads: a second of hashing from disk
_FILE = (("uri", pa.string()), ("bytes", pa.int64()), ("offset", pa.int64()))
_FAILED = (("stage", pa.string()), ("reason", pa.string()))

_LISTED = pa.schema(
    [
        *_FILE, ("etag", pa.string()), ("age_years", pa.float32()), ("gender", pa.string()),
        ("race", pa.string()), ("taken_at", pa.timestamp("ms")), *_FAILED,
    ]
)  # fmt: skip
_READ = pa.schema(
    [
        ("uri", pa.string()), ("content_hash", pa.string()), ("found", pa.list_(pa.float32())),
        *_FAILED,
    ]
)  # fmt: skip
_NOTHING_GIVEN = joining.Given(None)
_TEXTS = pa.schema([("uri", pa.string()), ("text", pa.string())])


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


def ingest(options: IngestOptions, given: joining.Given | None = None) -> Ingested:
    """List, label and read all files of `options.place`.

    The driver peaks at 1 kB a file (docs/benchmarks/memory.md); images never reach it.

    Args:
        options: of the ingest.
        given: of `read_given`, where the caller has asked already.

    Raises:
        StorageError: the images or the labels cannot be read.
        ManifestError: nothing there is an image, or no label matches.
    """
    storage.require_readable(options.place, "`images`")
    given = given or joining.read_given(options)
    source = Images(options.place, exclude=options.exclude)
    with phase("list") as facts:
        rows = named(source.listed(), source.by_name)
        facts["files"] = len(rows)
    if not (rows["stage"].isna() | (rows["stage"] == "label")).any():
        raise source.no_images(len(rows))
    result = assemble(rows, options, given)
    notes = (*result.notes, *source.notes)
    return dataclasses.replace(result, notes=notes)


def assemble(
    rows: pd.DataFrame, options: IngestOptions, given: joining.Given = _NOTHING_GIVEN
) -> Ingested:
    """Give listed files their labels, contents, faces, groups and splits.

    Args:
        rows: of `named`.
        options: of the ingest.
        given: what is known of the labels.

    Raises:
        ManifestError: no label matches.
        StorageError: the images cannot be read.
    """
    with phase("label") as facts:
        rows, told = joining.apply_labels(with_texts(rows, options), options, given)
        facts["rejects"] = int(rows["stage"].notna().sum())
    with phase("hash") as facts:
        rows = with_contents(rows, options)
        facts["files"] = int(rows["stage"].isna().sum())
    if options.faces != "crop":
        rows = faces.assign(rows, keep_whole=options.faces == "both")
    bad = rows["stage"].notna()
    rejects = pa.Table.from_pandas(
        rows.loc[bad, manifest.REJECTS_SCHEMA.names],
        schema=manifest.REJECTS_SCHEMA,
        preserve_index=False,
    )
    good = splits.with_groups(rows[~bad].drop(columns=["stage", "reason"]), options.rule)
    return Ingested(manifest.to_table(good), rejects, told.notes, told.counts)


def named(parts: Iterator[pa.Table], by_name: bool) -> pd.DataFrame:
    """Listed files, with what UTKFace's convention makes of their names.

    Args:
        parts: a listing.
        by_name: only those named like images.

    Returns:
        The columns of `_LISTED`; `stage` and `reason` where a file is no labelled image.
    """
    return tables.concat(
        (
            pa.Table.from_pylist(
                [_label_row(row, by_name) for row in part.to_pylist()], schema=_LISTED
            )
            for part in parts
        ),
        _LISTED,
    ).to_pandas()


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
    if not by_name and (why := why_no_uri(row["uri"])):
        return row | {"stage": "read", "reason": why}
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


def with_texts(rows: pd.DataFrame, options: IngestOptions) -> pd.DataFrame:
    """The rows with the texts of files that may label an image beside them in `beside`."""
    rows["beside"] = None
    if options.labels is not None or options.label_format not in ("auto", "sidecar"):
        return rows
    sizes = zip(rows["uri"], rows["bytes"], strict=True)
    is_text = (rows["stage"] == "list") & np.array([is_label_file(*one) for one in sizes], bool)
    texts = _read_in_tasks(rows[is_text], read_texts, _TEXTS, "labels")
    rows.loc[is_text, "beside"] = rows.loc[is_text, "uri"].map(texts["text"])
    return rows


def with_contents(rows: pd.DataFrame, options: IngestOptions) -> pd.DataFrame:
    """The rows with content_hash, and where faces are detected `found`, of images that are good."""
    rows["content_hash"] = None
    with_hash = options.hash == "content"
    search = None if options.faces == "crop" else options.detection.search
    if not with_hash and search is None:
        return rows
    files = rows[rows["stage"].isna()].drop_duplicates("uri")
    read = _read_in_tasks(files, read_images, _READ, "ingest", with_hash=with_hash, search=search)
    rows["content_hash"] = rows["uri"].map(read["content_hash"]).astype(object)
    if search is not None:
        rows["found"] = rows["uri"].map(read["found"])
    stage = rows["uri"].map(read["stage"])
    failed = stage.notna() & rows["stage"].isna()
    rows.loc[failed, "stage"] = stage[failed]
    rows.loc[failed, "reason"] = rows.loc[failed, "uri"].map(read["reason"])
    return rows


def _read_in_tasks(
    files: pd.DataFrame, read: Callable[..., pa.Table], schema: pa.Schema, name: str, **how: Any
) -> pd.DataFrame:
    """What `read` gives for blocks of files, by uri."""
    if files.empty:
        return schema.empty_table().to_pandas().set_index("uri")
    # Members of one archive together, in its own order.
    ordered = files.assign(file=files["uri"].map(storage.file_of)).sort_values(["file", "offset"])
    entries = pa.Table.from_pandas(ordered, schema=pa.schema(_FILE), preserve_index=False)
    blocks = [
        entries.slice(start, _BLOCK_ROWS) for start in range(0, entries.num_rows, _BLOCK_ROWS)
    ]
    parts, progress = list[pa.Table](), Progress(name, entries.num_rows, "files")
    with plain_errors():
        for part in in_tasks(blocks, read, how):
            parts.append(part.cast(schema))
            progress.advance(part.num_rows)
    progress.close()
    return tables.concat(parts, schema).to_pandas().set_index("uri")


def in_tasks(
    blocks: list[pa.Table], act: Callable[..., pa.Table], how: Mapping[str, Any]
) -> Iterator[pa.Table]:
    """`act(block, **how)` of each block, each by a task of Ray Data."""
    import ray

    from_arrow: Any = ray.data.from_arrow  # its stub wants lists of bytes too
    done: Any = from_arrow(blocks).map_batches(
        act, batch_size=None, batch_format="pyarrow", fn_kwargs=dict(how)
    )
    return done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)


def read_texts(batch: pa.Table) -> pa.Table:
    """Read small text files; null where one cannot be read."""
    files = batch.to_pylist()
    texts = [
        None if isinstance(data, ReadFailure) else data.decode(errors="replace")
        for data in fetch_all(files)
    ]
    return pa.table([batch["uri"], pa.array(texts, pa.string())], schema=_TEXTS)


def read_images(batch: pa.Table, with_hash: bool, search: FaceSearch | None = None) -> pa.Table:
    """Read and hash images, and detect their faces.

    Args:
        batch: uri, bytes and offset of each.
        with_hash: hash them.
        search: for the faces to detect, or None.

    Returns:
        Their uris and what was found; stage and reason where one cannot be read or decoded.
    """
    entries: list[dict[str, Any]] = batch.to_pylist()
    rows = [{"uri": entry["uri"]} for entry in entries]
    guard = guarded_in_task(DECODER, TIMEOUT_S) if search else contextlib.nullcontext()
    with guard as decode:
        for row, data in zip(rows, fetch_all(entries), strict=True):
            if isinstance(data, ReadFailure):
                row |= {"stage": "read", "reason": str(data)}
                continue
            if with_hash:
                row["content_hash"] = hashlib.sha256(data).hexdigest()
            if decode is not None and search is not None:
                try:
                    row["found"] = faces.find(data, decode, search)
                except DecodeError as error:
                    row |= {"stage": "decode", "reason": f"{error.reason}: {error}"}
    return pa.Table.from_pylist(rows, schema=_READ)


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


def ingest_to(
    options: IngestOptions, output: str, given: joining.Given | None = None
) -> dict[str, Any]:
    """Ingest and write; returns manifest.json.

    Raises:
        FacemillError: see `ingest` and `write_ingested`.
    """
    return write_ingested(ingest(options, given), options, output)


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
