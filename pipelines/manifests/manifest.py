"""The manifest, one row an image: labels, hash, duplicate group, split; rejects beside it."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from model import labels
from model.errors import ManifestError, UsageError
from pipelines import storage
from pipelines.storage import tables

SPLITS = ("train", "val", "test")
ConflictRule = Literal["keep", "drop", "median"]
_DICTIONARY = pa.dictionary(pa.int8(), pa.string())

MANIFEST_SCHEMA = pa.schema(
    [
        tables.field("uri", pa.string(), "where the image is; a tar's member is `a.tar#name`"),
        tables.field("bytes", pa.int64(), "size of the file", "bytes"),
        tables.field("offset", pa.int64(), "start inside a tar, else null", "bytes"),
        tables.field("etag", pa.string(), "the store's ETag, or time and size of a local file"),
        tables.field("content_hash", pa.string(), "SHA-256 of the bytes; null with --hash etag"),
        tables.field("age_years", pa.float32(), "labelled age", "years"),
        tables.field("gender", _DICTIONARY, "labelled gender: male, female"),
        tables.field("race", _DICTIONARY, "labelled race: white, black, asian, indian, other"),
        tables.field("taken_at", pa.timestamp("ms"), "time in the file name, without zone"),
        tables.field("split", _DICTIONARY, "train, val or test, a function of the content"),
        tables.field("duplicate_group", pa.string(), "shared by byte-identical files, else null"),
        tables.field("label_conflict", pa.bool_(), "its duplicate group has contradicting labels"),
    ]
)
REJECTS_SCHEMA = pa.schema(
    [
        tables.field("uri", pa.string(), "the file"),
        tables.field("bytes", pa.int64(), "size of the file", "bytes"),
        tables.field("stage", pa.string(), "where it failed: list, read or label"),
        tables.field("reason", pa.string(), "why, as a sentence"),
    ]
)


@dataclasses.dataclass(frozen=True)
class SplitRule:
    """How images fall into train, val and test: by content, never by order or name."""

    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the fractions.

        Raises:
            UsageError: they are negative or do not sum to 1.
        """
        if min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-6:
            raise UsageError(
                f"--split {','.join(map(str, self.fractions))} must be three shares >= 0 that sum "
                "to 1, for example 0.6,0.2,0.2"
            )

    def split_of(self, content_hash: str) -> str:
        """The split of a duplicate group: the same for the same bytes, whatever else is there."""
        digest = hashlib.sha256(f"{self.seed}:{content_hash}".encode()).hexdigest()
        position = int(digest[:13], 16) / 16**13
        train, val, _ = self.fractions
        return SPLITS[int(position >= train) + int(position >= train + val)]


def with_groups(rows: pd.DataFrame, rule: SplitRule) -> pd.DataFrame:
    """Add duplicate_group, label_conflict and, where it is not given, split.

    Args:
        rows: columns of `MANIFEST_SCHEMA` up to taken_at, and maybe `split`.
        rule: how to split.

    Returns:
        The same rows, in uri order.
    """
    rows = rows.sort_values("uri", ignore_index=True)
    # Only S3's own ETags follow the content; time and size of other files can agree by chance.
    own = rows["uri"].str.startswith("s3://") & rows["offset"].isna()
    identity = rows["content_hash"].fillna(rows["etag"].where(own)).fillna(rows["uri"])
    grouped = rows.groupby(identity, sort=False)
    copies = grouped["uri"].transform("size")
    ages = grouped["age_years"].transform("nunique")
    genders = grouped["gender"].transform("nunique")
    rows["duplicate_group"] = identity.str.slice(0, 16).where(copies > 1)
    rows["label_conflict"] = ((ages > 1) | (genders > 1)).astype(bool)
    if "split" not in rows:
        rows["split"] = [rule.split_of(value) for value in identity]
    return rows


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


def fingerprint(table: pa.Table) -> str:
    """16 hex digits over contents, labels and splits, whatever the order and the place."""
    columns = ["content_hash", "etag", "age_years", "gender", "race", "split"]
    frame: Any = table.select([c for c in columns if c in table.column_names]).to_pandas()
    if "content_hash" in frame and frame["content_hash"].notna().all():
        frame = frame.drop(columns="etag", errors="ignore")  # a local ETag depends on the copy
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
            asked for is not legal.
    """
    uri = storage.normalize(uri)
    storage.require_readable(uri, "manifest")
    if not uri.endswith(".parquet") and storage.exists(storage.join(uri, "manifest.json")):
        uri = storage.join(uri, "manifest")
    table = tables.read_table(uri)
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
        ManifestError: a name that is none of ours, or an age that nobody has.
    """
    legal = {"gender": labels.GENDERS, "race": labels.RACES, "split": SPLITS}
    for name, names in legal.items():
        found: list[Any] = pc.unique(table[name]).to_pylist()
        strange = next((value for value in found if value not in (None, *names)), None)
        if strange is not None:
            raise ManifestError(
                f"manifest {uri}: {name} {strange!r} is none of {', '.join(names)} (or null): make "
                "it with `python -m jobs.ingest --labels FILE`, which reads more spellings"
            )
    ages: Any = pc.min_max(table["age_years"]).as_py()
    for age in ages.values():
        if age is not None and not labels.MIN_AGE_YEARS <= age <= labels.MAX_AGE_YEARS:
            raise ManifestError(
                f"manifest {uri}: age_years {age:g} is outside {labels.MIN_AGE_YEARS}-"
                f"{labels.MAX_AGE_YEARS}: correct it, or leave it null"
            )


def labelled(table: pa.Table, split: str | None, conflicts: ConflictRule = "keep") -> pa.Table:
    """The labelled rows of one split (None: of all).

    Args:
        table: a manifest.
        split: train, val, test or None.
        conflicts: for duplicate groups whose labels contradict each other: keep them, drop them,
            or give all of a group the median age and the majority gender.

    Raises:
        ManifestError: no row is left.
    """
    rows: Any = table.to_pandas()
    if split is not None:
        rows = rows[rows["split"] == split]
    rows = rows[rows["age_years"].notna() | rows["gender"].notna()]
    clash = rows["label_conflict"].fillna(False).astype(bool)
    if conflicts == "drop":
        rows = rows[~clash]
    elif conflicts == "median" and clash.any():
        rows = rows.copy()  # Arrow's memory is read-only
        groups = rows[clash].groupby("duplicate_group")
        rows.loc[clash, "age_years"] = groups["age_years"].transform("median")
        rows.loc[clash, "gender"] = groups["gender"].transform(_majority)
    if rows.empty:
        have = sorted(str(name) for name in set(table["split"].to_pylist()) if name is not None)
        raise ManifestError(
            f"the manifest has no labelled rows in split {split!r}; it has the splits {have}"
        )
    return pa.Table.from_pandas(rows, schema=MANIFEST_SCHEMA, preserve_index=False)


def _majority(names: pd.Series) -> Any:
    """The most frequent name, the first by alphabet of equals, or None if all are null."""
    return next(iter(names.mode()), None)


def codes(table: pa.Table, label: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A label column as float32 codes (years, or the index in model/labels.py); NaN where null."""
    if label == "age_years":
        return table["age_years"].to_numpy().astype(np.float32)
    names = {"gender": labels.GENDERS, "race": labels.RACES}[label]
    index: dict[Any, float] = {name: float(i) for i, name in enumerate(names)}
    return np.array([index.get(v, np.nan) for v in table[label].to_pylist()], dtype=np.float32)
