"""The manifest, one row an image: labels, hash, duplicate group, split; rejects beside it."""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from model import labels
from model.errors import ManifestError
from pipelines import storage
from pipelines.manifests.conflicts import ConflictRule, kept_rows, with_conflicts_resolved
from pipelines.manifests.labels.ages import RANGE
from pipelines.manifests.layout import read_parquet
from pipelines.manifests.splits import SPLITS
from pipelines.storage import tables

Floats = np.ndarray[Any, np.dtype[np.float32]]
_DICTIONARY = pa.dictionary(pa.int8(), pa.string())

MANIFEST_SCHEMA = pa.schema(
    [
        tables.field(
            "uri",
            pa.string(),
            "the image; a member of an archive is `a.zip#name`, a row of Parquet `a.parquet#17`",
        ),
        tables.field("bytes", pa.int64(), "size of the file", "bytes"),
        tables.field(
            "offset",
            pa.int64(),
            "position in an archive in bytes, or the row of Parquet; else null",
        ),
        tables.field("etag", pa.string(), "the store's ETag, or time and size of a local file"),
        tables.field(
            "content_hash",
            pa.string(),
            "SHA-256 of the bytes; null if only ETags were used",
        ),
        tables.field(
            "age_years",
            pa.float32(),
            "labelled age; the middle of a range of up to ten years, null for a wider one",
            "years",
        ),
        tables.field(
            "age_low_years",
            pa.float32(),
            "lowest age of the range if the label is one, else null",
            "years",
        ),
        tables.field(
            "age_high_years",
            pa.float32(),
            "highest age of that range; 116 if it is open",
            "years",
        ),
        tables.field("gender", _DICTIONARY, "labelled gender: male, female"),
        tables.field("race", _DICTIONARY, "labelled race: white, black, asian, indian, other"),
        tables.field("taken_at", pa.timestamp("ms"), "time in the file name, without zone"),
        tables.field("split", _DICTIONARY, "train, val or test, a function of the content"),
        tables.field("duplicate_group", pa.string(), "shared by byte-identical files, else null"),
        tables.field("label_conflict", pa.bool_(), "its duplicate group has conflicting labels"),
        tables.field(
            "face_left",
            pa.float32(),
            "left edge of the box of the labelled face; null if the image is one face crop",
            "pixels",
        ),
        tables.field("face_top", pa.float32(), "top edge of that box", "pixels"),
        tables.field("face_width", pa.float32(), "width of that box", "pixels"),
        tables.field("face_height", pa.float32(), "height of that box", "pixels"),
        tables.field(
            "face_landmarks",
            pa.list_(pa.float32()),
            "x and y of its left eye, right eye, nose, left "
            "and right corner of the mouth, from which it is aligned",
            "pixels",
        ),
        tables.field("face_score", pa.float32(), "detector score of the face, 0-1"),
    ]
)
BOX = ("face_left", "face_top", "face_width", "face_height")
REJECTS_SCHEMA = pa.schema(
    [
        tables.field("uri", pa.string(), "the file"),
        tables.field("bytes", pa.int64(), "size of the file", "bytes"),
        tables.field("stage", pa.string(), "where it failed: list, read, decode, detect or label"),
        tables.field("reason", pa.string(), "why, as a sentence"),
    ]
)


def to_table(rows: pd.DataFrame) -> pa.Table:
    """Rows as a table of `MANIFEST_SCHEMA`; absent columns become null."""
    arrays: list[pa.Array[Any]] = []
    for column in MANIFEST_SCHEMA:
        if column.name not in rows:
            arrays.append(pa.nulls(len(rows), column.type))
            continue
        is_dictionary = pa.types.is_dictionary(column.type)
        values = pa.array(
            rows[column.name], type=pa.string() if is_dictionary else column.type, from_pandas=True
        )
        arrays.append(values.dictionary_encode().cast(column.type) if is_dictionary else values)
    return pa.Table.from_arrays(arrays, schema=MANIFEST_SCHEMA)


def has_faces(table: pa.Table) -> bool:
    """Whether rows of a manifest are faces in pictures, and not pictures."""
    return table["face_landmarks"].null_count < table.num_rows


def pictures(table: pa.Table) -> pa.Table:
    """The first row of each picture, of a manifest whose rows are faces; any other as it is."""
    if not has_faces(table):
        return table
    uris: Any = table["uri"].to_pandas()
    return table.filter(pa.array(~uris.duplicated().to_numpy()))


def labelled_already(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows say a label again: faces found in pictures that have a row as a whole too.

    Args:
        table: rows with `uri` and `BOX`.

    Returns:
        Shape (n,).
    """
    is_whole: Any = table[BOX[0]].is_null()
    is_there = pc.is_in(table["uri"], table["uri"].filter(is_whole))
    again: Any = pc.and_(pc.invert(is_whole), is_there)
    return again.to_numpy()


def of_kind(table: pa.Table, faces: Literal["detect", "crop"]) -> pa.Table:
    """The rows that are faces, or those that are pictures; all rows where there is one kind."""
    is_face: Any = pc.is_valid(table["face_landmarks"])
    chosen = table.filter(is_face if faces == "detect" else pc.invert(is_face))
    return chosen if chosen.num_rows else table


def fingerprint(table: pa.Table) -> str:
    """16 hex digits over contents, labels and splits, whatever the order and the place."""
    columns = ["content_hash", "etag", "age_years", "gender", "race", "split"]
    if RANGE[0] in table.column_names and table[RANGE[0]].null_count < table.num_rows:
        columns += RANGE  # where there are none, nothing changes
    frame: Any = table.select([c for c in columns if c in table.column_names]).to_pandas()
    if "content_hash" in frame and frame["content_hash"].notna().all():
        frame = frame.drop(columns="etag", errors="ignore")  # a local ETag depends on the copy
    if "face_landmarks" in table.column_names and has_faces(table):
        frame["face_landmarks"] = [repr(points) for points in table["face_landmarks"].to_pylist()]
    hashes = pd.util.hash_pandas_object(frame, index=False, categorize=False).to_numpy()
    return hashlib.sha256(np.sort(hashes).tobytes()).hexdigest()[:16]


def read_manifest(uri: str, columns: Sequence[str] = ("uri",)) -> pa.Table:
    """A manifest written by `jobs.ingest`, or any Parquet with at least `columns`.

    Args:
        uri: the ingest output, its `manifest` folder, or a Parquet file or folder.
        columns: what must be there.

    Returns:
        A table of `MANIFEST_SCHEMA`; columns that the file lacks and nobody asked for are null.

    Raises:
        ManifestError: a column is missing or of another kind, there is no row, or a label that is
            asked for is not legal; `jobs.ingest` is not done with it.
    """
    uri = storage.normalize(uri)
    storage.require_readable(uri, "manifest")
    uri, table = read_parquet(uri)
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise ManifestError(
            f"manifest {uri} lacks the column{'s' if len(missing) > 1 else ''} "
            f"{', '.join(missing)}: it has {', '.join(table.column_names)}; make one with "
            "`python -m jobs.ingest`"
        )
    if table.num_rows == 0:
        raise ManifestError(f"manifest {uri} has no rows")
    arrays: list[Any] = []
    for column in MANIFEST_SCHEMA:
        if column.name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, column.type))
            continue
        try:
            arrays.append(table[column.name].cast(column.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise ManifestError(
                f"manifest {uri}: its column {column.name} is {table[column.name].type} and cannot "
                f"be read as {column.type}: make one with `python -m jobs.ingest`"
            ) from None
    read = pa.Table.from_arrays(arrays, schema=MANIFEST_SCHEMA)
    if "gender" in columns:
        _require_legal_labels(read, uri)
    return read


def _require_legal_labels(table: pa.Table, uri: str) -> None:
    """Refuse labels that nothing would be learnt from, or something wrong.

    Raises:
        ManifestError: a name that model/labels.py does not know, or an age beyond its range.
    """
    legal = {"gender": labels.GENDERS, "race": labels.RACES, "split": SPLITS}
    for name, names in legal.items():
        values: list[Any] = pc.unique(table[name]).to_pylist()
        strange = next((value for value in values if value not in (None, *names)), None)
        if strange is not None:
            raise ManifestError(
                f"manifest {uri}: {name} {strange!r} is none of {', '.join(names)} (or null): make "
                "it by jobs.ingest from a labels file, which reads more spellings"
            )
    for name in ("age_years", *RANGE):
        ages: Any = pc.min_max(table[name]).as_py()
        for age in ages.values():
            if age is not None and not labels.MIN_AGE_YEARS <= age <= labels.MAX_AGE_YEARS:
                raise ManifestError(
                    f"manifest {uri}: {name} {age:g} is outside {labels.MIN_AGE_YEARS}-"
                    f"{labels.MAX_AGE_YEARS}: correct it, or leave it null"
                )
    low, high = age_ranges(table)
    if (np.isnan(low) != np.isnan(high)).any() or (low > high).any():
        raise ManifestError(
            f"manifest {uri}: an age_low_years is above its age_high_years, or one of the two is "
            "alone: a range has both, the lower first; an exact age has none"
        )


def labelled(table: pa.Table, split: str | None, conflicts: ConflictRule = "keep") -> pa.Table:
    """The labelled rows of one split (None: of all).

    Args:
        table: a manifest.
        split: train, val, test or None.
        conflicts: for duplicate groups whose labels contradict each other: keep them, drop them,
            give all of a group the median age and the majority gender, or the mean age and no
            gender where there is no majority.

    Raises:
        ManifestError: no row is left.
    """
    rows: Any = table.to_pandas()
    if split is not None:
        rows = rows[rows["split"] == split]
    rows = rows[rows[["age_years", "age_low_years", "gender"]].notna().any(axis=1)]
    rows = with_conflicts_resolved(rows[kept_rows(rows, conflicts)], conflicts)
    if rows.empty:
        have = sorted(str(name) for name in set(table["split"].to_pylist()) if name is not None)
        raise ManifestError(
            f"the manifest has no labelled rows in split {split!r}; it has the splits {have}"
        )
    return from_frame(rows)


def from_frame(rows: pd.DataFrame) -> pa.Table:
    """A data frame of all columns as a table of `MANIFEST_SCHEMA`."""
    return pa.Table.from_pandas(rows, schema=MANIFEST_SCHEMA, preserve_index=False)


def codes(table: pa.Table, label: str) -> Floats:
    """A label column as float32 codes (years, or the index in model/labels.py); NaN where null."""
    if label == "age_years":
        return table["age_years"].to_numpy().astype(np.float32)
    names = {"gender": labels.GENDERS, "race": labels.RACES}[label]
    index: dict[Any, float] = {name: float(i) for i, name in enumerate(names)}
    return np.array([index.get(v, np.nan) for v in table[label].to_pylist()], dtype=np.float32)


def age_ranges(table: pa.Table) -> tuple[Floats, Floats]:
    """Lowest and highest age of labels that are ranges, float32 (n,); NaN where they are exact."""
    low, high = (table[name].to_numpy().astype(np.float32) for name in RANGE)
    return low, high


def exact_ages(table: pa.Table) -> Floats:
    """Labelled ages in years, float32 (n,); NaN where there is none, or a range."""
    return np.where(np.isnan(age_ranges(table)[0]), codes(table, "age_years"), np.float32(np.nan))
