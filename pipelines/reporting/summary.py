"""Predictions of any size -> counts, sums and histograms, by DuckDB, in bounded memory.

Local files are read by DuckDB itself, column by column, on all cores. From S3 one file at a time is
read through pipelines/storage (DuckDB's own S3 extension would be a download). Every figure is a
count or a sum, so the parts add up.
"""

import dataclasses
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from model.errors import UsageError
from model.statistics import EDGES
from pipelines import storage
from pipelines.predictions.prediction_files import (
    PredictionFiles,
    only_quarantine,
    open_file,
    partition,
    quarantined,
)
from pipelines.reporting import face_bins

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


@dataclasses.dataclass
class Summary:
    """Mergeable figures: rows, sums, counts. NaN and infinity count apart, in nothing else.

    A row is a face crop, or a face of an image.

    Attributes:
        rows: of all files.
        pictures: images with rows.
        faces: rows that are faces.
        known, sums, not_a_number: of each column of `MEANS`.
        counts: rows by what they show: see `_counted`.
        places: of each place its rows, its images and the sums of `PLACE_SUMS`.
        duplicates: rows beyond the first of their uri, or of their face.
        duplicates_share: 1 in so many rows was looked at, by a hash of what it is of.
    """

    rows: int = 0
    pictures: int = 0
    faces: int = 0
    known: Counter[str] = dataclasses.field(default_factory=Counter[str])
    sums: Counter[str] = dataclasses.field(default_factory=Counter[str])
    not_a_number: Counter[str] = dataclasses.field(default_factory=Counter[str])
    counts: dict[str, Counter[Any]] = dataclasses.field(default_factory=dict[str, Counter[Any]])
    places: dict[str, Counter[str]] = dataclasses.field(default_factory=dict[str, Counter[str]])
    duplicates: int = 0
    duplicates_share: int = 1

    def mean(self, name: str) -> float | None:
        """Mean of a column over its known values."""
        return self.sums[name] / self.known[name] if self.known[name] else None

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


def parts(source: PredictionFiles, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """DuckDB connections whose view `rows` is all files at once (local) or one by one (S3)."""
    connection = connect()
    if storage.is_local(source.files[0]):
        names = ", ".join("'" + file.replace("'", "''") + "'" for file in source.files)
        hive = any(partition(source.uri, file) for file in source.files[:1])
        options = f"union_by_name=true, hive_partitioning={hive}, hive_types_autocast=false"
        connection.execute(f"CREATE VIEW rows AS FROM read_parquet([{names}], {options})")
        yield connection
        return
    wanted = [name for name in columns or sorted(source.columns) if name in source.columns]
    for file in source.files:
        folders = partition(source.uri, file)
        table = pq.read_table(open_file(file), columns=[n for n in wanted if n not in folders])
        for name in (n for n in wanted if n in folders):
            table = table.append_column(
                name, pa.array([folders[name]] * table.num_rows, pa.string())
            )
        connection.register("rows", table)
        yield connection
        connection.unregister("rows")


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
    summary = Summary()
    for connection in parts(source):
        _add(summary, connection, source.columns, by)
    if summary.rows == 0:
        if source.root is not None and quarantined(source.root):
            raise only_quarantine(source.uri)
        raise UsageError(f"`predictions` {source.uri} has no rows: there is nothing to report")
    if duplicates:
        summary.duplicates_share = 1 + summary.rows // _DUPLICATE_URIS
        summary.duplicates = _duplicates(source, summary.duplicates_share)
    return summary


def _add(summary: Summary, db: Any, columns: frozenset[str], by: str | None) -> None:
    """Add the figures of the view `rows`."""
    have = set(columns)
    have |= {"interval_years"} if {"age_low_years", "age_high_years"} <= have else set[str]()
    have |= {"aspect"} if {"width", "height"} <= have else set[str]()
    _add_sums(summary, db, have)
    for name, (key, needed, condition) in _counted(have).items():
        if needed <= have:
            query = f"SELECT {key}, count(*) FROM rows WHERE {condition} GROUP BY ALL"
            found = db.execute(query).fetchall()
            counts = {row[0] if len(row) == 2 else row[:-1]: row[-1] for row in found}
            summary.counts.setdefault(name, Counter()).update(counts)
    if by is not None:
        _add_places(summary, db, have, by)


def _counted(have: set[str]) -> dict[str, tuple[str, set[str], str]]:
    """What rows are counted by: DuckDB's key, the columns that it needs, and which rows count."""
    gender = "coalesce(gender::VARCHAR, 'unknown')"
    year = "TRY_CAST(greatest(0, least(999, floor(age_years))) AS INT)"
    counted = {
        "bundles": ("coalesce(bundle_id::VARCHAR, 'unknown')", set[str](), "true"),
        "genders": (gender, {"gender"}, "true"),
        "people": (f"{gender}, {year}", {"gender", "age_years"}, _is_finite("age_years")),
        "groups": ("age_group::VARCHAR", {"age_group"}, "age_group IS NOT NULL"),
    }
    for name, edges in EDGES.items():
        key = f"TRY_CAST(greatest(0, least({len(edges) - 2}, {_BIN_SQL[name]})) AS INT)"
        condition = f"{_is_finite(_value_sql(name))} AND {_counted_once(name, have)}"
        counted[name] = key, {name}, condition
    for bins in (face_bins.A_PICTURE, *face_bins.OF_FACES):
        rows = "face = 0" if bins is face_bins.A_PICTURE else "face IS NOT NULL"
        condition = f"{rows} AND {_is_finite(bins.value_sql)}"
        counted[bins.column] = bins.index_sql, {"face", bins.column}, condition
    return counted


def _is_finite(value: str) -> str:
    return f"{value} IS NOT NULL AND isfinite({value})"


def first_of_picture(columns: Collection[str]) -> str:
    """DuckDB's condition that holds for one row of each image."""
    return "coalesce(face, 0) = 0" if "face" in columns else "true"


def _add_sums(summary: Summary, db: Any, have: set[str]) -> None:
    """Rows; of each column of `MEANS` its sum, and how many of its values are known or NaN."""
    names = [name for name in MEANS if name in have]
    selected = list[str]()
    for name in names:
        value, counted = _value_sql(name), _counted_once(name, have)
        selected += [
            f"count({value}) FILTER (isfinite({value}) AND {counted})",
            f"coalesce(sum({value}) FILTER (isfinite({value}) AND {counted}), 0)",
            f"count({value}) FILTER (NOT isfinite({value}) AND {counted})",
        ]
    faces = "count(face)" if "face" in have else "0"
    counts = f"count(*), count(*) FILTER ({first_of_picture(have)}), {faces}"
    query = f"SELECT {', '.join([counts, *selected])} FROM rows"
    rows, pictures, faces, *figures = db.execute(query).fetchone()
    summary.rows += rows
    summary.pictures += pictures
    summary.faces += faces
    for index, name in enumerate(names):
        known, total, nan = figures[3 * index : 3 * index + 3]
        summary.known[name] += known
        summary.sums[name] += total
        summary.not_a_number[name] += nan


def _counted_once(name: str, have: set[str]) -> str:
    """The condition of rows in which a column counts."""
    return first_of_picture(have) if name in OF_PICTURES else "true"


def _value_sql(name: str) -> str:
    return f"{_VALUE_SQL.get(name, name)}::DOUBLE"


def _add_places(summary: Summary, db: Any, have: set[str], by: str) -> None:
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
    for place, *totals in places:
        named = dict(zip(("images", "pictures", *measured), totals, strict=True))
        summary.places.setdefault(place or "(no match)", Counter()).update(named)


def _duplicates(source: PredictionFiles, one_in: int) -> int:
    """Rows beyond the first of their image, or of their face where faces were detected.

    They are counted on the rows of which the hash of uri and face divides by `one_in`.
    """
    counts = connect()
    counts.execute("CREATE TABLE seen (digest UBIGINT)")
    key = [name for name in ("uri", "face") if name in source.columns]
    digest = f"hash({', '.join(key)})"
    for db in parts(source, key):
        query = f"SELECT {digest} AS digest FROM rows WHERE {digest} % {one_in} = 0"
        for batch in db.sql(query).to_arrow_reader(1_000_000):
            counts.register("batch", pa.table(batch))
            counts.execute("INSERT INTO seen SELECT digest FROM batch")
            counts.unregister("batch")
    total, distinct = counts.execute("SELECT count(*), count(DISTINCT digest) FROM seen").fetchone()
    return (total - distinct) * one_in
