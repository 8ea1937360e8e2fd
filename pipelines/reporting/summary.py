"""Predictions of any size -> counts, sums and histograms, by DuckDB, in bounded memory.

Local files are read by DuckDB itself, those of object stores through pyarrow (DuckDB's own S3
extension would be a download), column by column. A few queries look at all rows.
"""

import dataclasses
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from model.errors import UsageError
from model.statistics import EDGES
from pipelines import storage
from pipelines.predictions import layout
from pipelines.predictions.prediction_files import (
    PredictionFiles,
    only_quarantine,
    partition,
    quarantined,
)
from pipelines.reporting import face_bins
from pipelines.storage import tables

MEANS = (
    "age_years", "p_female", "interval_years", "brightness", "contrast", "sharpness", "width",
    "height",
)  # fmt: skip
PLACE_SUMS = ("age_years", "p_female")
MISSING_PACKAGES = (
    "a report needs duckdb and jinja2: pip install duckdb jinja2; `make setup` has them"
)
MEMORY_LIMIT = "1GB"  # of DuckDB; the process with pyarrow and Python on top stays under 2 GiB
_DUPLICATE_URIS = 4_000_000  # most distinct uris held at once (about 0.5 GB)

# The bin of each profiled column, as in model/statistics.py EDGES (a test compares the two).
_BIN_SQL = {
    "brightness": "floor(brightness / 4)",
    "contrast": "floor(contrast / 2)",
    "sharpness": "floor(sharpness)",
    "width": "floor((log2(width::DOUBLE) - 3) * 4)",
    "height": "floor((log2(height::DOUBLE) - 3) * 4)",
    "aspect": "floor((log2(width::DOUBLE / height) + 3) * 8)",
    "age_years": "floor(age_years)",
    "p_female": "floor(p_female::DOUBLE * 50)",
    "interval_years": "floor(age_high_years - age_low_years)",
}
OF_PICTURES = ("width", "height", "aspect")  # counted once an image, not once a face
_VALUE_SQL = {
    "interval_years": "(age_high_years - age_low_years)",
    "aspect": "(width::DOUBLE / height)",
}


@dataclasses.dataclass(frozen=True)
class Summary:
    """All rows in counts and sums. NaN and infinity count apart, in nothing else.

    A row is a face crop, or a face of an image.

    Attributes:
        rows: of all files.
        pictures: images with rows.
        faces: rows that are faces.
        known, sums, not_a_number: of each column of `MEANS`.
        counts: rows by what they show: see `_keys`.
        places: of each place its rows, its images and the sums of `PLACE_SUMS`.
        duplicates: rows beyond the first of their uri, or of their face.
        duplicates_share: 1 in so many rows was looked at, by a hash of what it is of.
    """

    rows: int
    pictures: int
    faces: int
    known: Mapping[str, int]
    sums: Mapping[str, float]
    not_a_number: Mapping[str, int]
    counts: Mapping[str, Counter[Any]]
    places: Mapping[str, Mapping[str, float]]
    duplicates: int = 0
    duplicates_share: int = 1

    def mean(self, name: str) -> float | None:
        """Mean of a column over its known values."""
        return self.sums[name] / self.known[name] if self.known.get(name) else None

    def count(self, name: str) -> Counter[Any]:
        """Rows by `bundles`, `genders`, `people` (gender and whole years) or `groups` of ages."""
        return self.counts.get(name, Counter())

    def histogram(self, name: str, bins: int) -> list[int]:
        """Rows by bin of a column of `EDGES` or of `face_bins`."""
        return [self.count(name)[index] for index in range(bins)]

    @property
    def histograms(self) -> dict[str, list[int]]:
        """Rows by bin of every column of `EDGES` that there is; those beyond its ends are in it."""
        there = {name: edges for name, edges in EDGES.items() if name in self.counts}
        return {name: self.histogram(name, len(edges) - 1) for name, edges in there.items()}


def connect() -> Any:
    """A DuckDB with bounded memory.

    Raises:
        UsageError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise UsageError(MISSING_PACKAGES) from None
    settings: dict[str, Any] = {
        "memory_limit": MEMORY_LIMIT,
        "threads": os.cpu_count() or 1,
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
    }
    return duckdb.connect(config=settings)


def open_rows(source: PredictionFiles) -> Any:
    """A DuckDB connection whose view `rows` is all files."""
    connection, hive = connect(), partition(source.uri, source.files[0])
    if storage.is_local(source.files[0]):
        names = ", ".join("'" + file.replace("'", "''") + "'" for file in source.files)
        options = f"hive_partitioning={bool(hive)}, hive_types_autocast=false"
        files = f"read_parquet([{names}], union_by_name=true, {options})"
        connection.execute(f"CREATE VIEW rows AS FROM {files}")
        return connection
    filesystem, _ = storage.train_filesystem(source.uri)
    paths = [file.partition("://")[2] for file in source.files]
    kind = ds.partitioning(pa.schema({name: pa.string() for name in hive}), flavor="hive")
    dataset = ds.dataset(paths, format="parquet", filesystem=filesystem, partitioning=kind)
    return connection.register("rows", dataset)


def quarantine_of(source: PredictionFiles) -> Any:
    """The same of the quarantine beside predictions; None where there is none."""
    root = source.root and storage.join(source.root, layout.QUARANTINE)
    files = tables.list_parquet(root) if root else []
    return (
        open_rows(PredictionFiles(root or "", None, tuple(files), frozenset())) if files else None
    )


def summarise(source: PredictionFiles, by: str | None = None, duplicates: bool = True) -> Summary:
    """Summarise all rows.

    Args:
        source: of `find_predictions`.
        by: a regular expression with one group, e.g. `/([^/]+)/[^/]+$` for the folder; its
            matches in the uri become `places`.
        duplicates: look for images, or faces of them, that stand in several rows.

    Raises:
        UsageError: there is no row.
    """
    db, have = open_rows(source), set(source.columns)
    have |= {"interval_years"} if {"age_low_years", "age_high_years"} <= have else set[str]()
    have |= {"aspect"} if {"width", "height"} <= have else set[str]()
    faces = "count(face)" if "face" in have else "0"
    query = f"SELECT count(*), count(*) FILTER ({first_of_picture(have)}), {faces} FROM rows"
    rows, pictures, faces = db.execute(query).fetchone()
    if not rows:
        if source.root is not None and quarantined(source.root):
            raise only_quarantine(source.uri)
        raise UsageError(f"`predictions` {source.uri} has no rows: there is nothing to report")
    names = [name for name in MEANS if name in have]
    sums = iter(db.execute(f"SELECT {', '.join(_sums(names, have))} FROM rows").fetchone())
    figures = [*zip(names, sums, sums, sums, strict=True)]
    one_in = 1 + rows // _DUPLICATE_URIS
    return Summary(
        rows,
        pictures,
        faces,
        known=Counter({name: known for name, known, _, _ in figures}),
        sums=Counter({name: total for name, _, total, _ in figures}),
        not_a_number=Counter({name: nan for name, _, _, nan in figures}),
        counts=_counts(db, have),
        places={} if by is None else _places(db, have, by),
        duplicates=_duplicates(db, have, one_in) if duplicates else 0,
        duplicates_share=one_in if duplicates else 1,
    )


def _sums(names: Sequence[str], have: set[str]) -> Iterator[str]:
    """How many values of each column are finite, their sum, and how many are not."""
    for name in names:
        value = _value_sql(name)
        for of, condition in (("count", ""), ("sum", ""), ("count", "NOT ")):
            rows = f"FILTER ({condition}isfinite({value}) AND {_counted_once(name, have)})"
            yield f"coalesce({of}({value}) {rows}, 0)"


def _counts(db: Any, have: set[str]) -> dict[str, Counter[Any]]:
    """Rows by each of `_keys` for which the columns are there, in one pass."""
    keys = {name: key for name, (needed, key) in _keys(have).items() if needed <= have}
    named = ", ".join(f"{key} AS by_{name}" for name, key in keys.items())
    sets = ", ".join(f"(by_{name})" for name in keys)
    query = f"SELECT *, count(*) FROM (SELECT {named} FROM rows) GROUP BY GROUPING SETS ({sets})"
    counts = {name: Counter[Any]() for name in keys}
    for *values, count in db.execute(query).fetchall():
        for name, value in zip(keys, values, strict=True):
            if value is not None:
                counts[name][value] += count
    return counts


def _keys(have: set[str]) -> dict[str, tuple[set[str], str]]:
    """What rows are counted by: columns that it needs, and DuckDB's key; null counts nowhere."""
    gender = "coalesce(gender::VARCHAR, 'unknown')"
    year = "TRY_CAST(greatest(0, least(999, floor(age_years))) AS INT)"
    keys = {
        "bundles": (set[str](), "coalesce(bundle_id::VARCHAR, 'unknown')"),
        "genders": ({"gender"}, gender),
        "people": (
            {"gender", "age_years"}, _where("isfinite(age_years)", f"row({gender}, {year})"),
        ),
        "groups": ({"age_group"}, "age_group::VARCHAR"),
    }  # fmt: skip
    for name, edges in EDGES.items():
        key = f"TRY_CAST(greatest(0, least({len(edges) - 2}, {_BIN_SQL[name]})) AS INT)"
        condition = f"isfinite({_value_sql(name)}) AND {_counted_once(name, have)}"
        keys[name] = {name}, _where(condition, key)
    for bins in (face_bins.A_PICTURE, *face_bins.OF_FACES):
        rows = "face = 0" if bins is face_bins.A_PICTURE else "face IS NOT NULL"
        keys[bins.column] = {"face", bins.column}, _where(rows, bins.index_sql)
    return keys


def _where(condition: str, key: str) -> str:
    return f"CASE WHEN {condition} THEN {key} END"


def first_of_picture(columns: Collection[str]) -> str:
    """DuckDB's condition that holds for one row of each image."""
    return "coalesce(face, 0) = 0" if "face" in columns else "true"


def _counted_once(name: str, have: set[str]) -> str:
    """The condition of rows in which a column counts."""
    return first_of_picture(have) if name in OF_PICTURES else "true"


def _value_sql(name: str) -> str:
    return f"{_VALUE_SQL.get(name, name)}::DOUBLE"


def _places(db: Any, have: set[str], by: str) -> dict[str, dict[str, float]]:
    """Rows, images, and sums of age and p_female, by the first group of `by` in the uri."""
    import duckdb

    measured = [name for name in PLACE_SUMS if name in have]
    sums = "".join(f", coalesce(sum({name}) FILTER (isfinite({name})), 0)" for name in measured)
    pictures = f"count(*) FILTER ({first_of_picture(have)})"
    query = f"SELECT regexp_extract(uri, ?, 1), count(*), {pictures}{sums} FROM rows GROUP BY 1"
    try:
        places = db.execute(query, [by]).fetchall()
    except duckdb.Error as error:
        raise UsageError(f"`by` {by!r} is no regular expression with a group: {error}") from None
    names = ("images", "pictures", *measured)
    return {name or "(no match)": dict(zip(names, sums, strict=True)) for name, *sums in places}


def _duplicates(db: Any, have: set[str], one_in: int) -> int:
    """Rows beyond the first of their image, or of their face where faces were detected.

    They are counted on the rows of which the hash of uri and face divides by `one_in`.
    """
    digest = "hash(uri, face)" if "face" in have else "hash(uri)"
    query = f"SELECT count(*) - count(DISTINCT digest) FROM (SELECT {digest} AS digest FROM rows)"
    return db.execute(f"{query} WHERE digest % {one_in} = 0").fetchone()[0] * one_in
