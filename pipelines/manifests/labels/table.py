"""A labels file for images that do not say their labels by name: CSV and its kin, or Parquet."""

import dataclasses
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd

from model.errors import ManifestError, UsageError
from pipelines import storage
from pipelines.manifests import splits
from pipelines.manifests.labels import ages, names
from pipelines.manifests.labels.telling import Told
from pipelines.manifests.manifest import BOX
from pipelines.storage import tables, text_tables
from pipelines.telemetry.log import note

LABELS = (*ages.COLUMNS, "gender", "race", "split")
# What else a column may be called, as Hugging Face and Kaggle have it; the first that is there.
_SYNONYMS = {
    "path": (
        "path", "file_name", "filename", "file", "file_path", "filepath", "image", "img",
        "image_path", "img_path", "image_name", "img_name", "image_file", "uri", "url",
    ),
    "age": ("age", "age_years", "years"),
    "gender": ("gender", "sex"),
    "race": ("race", "ethnicity"),
}  # fmt: skip
_BOXES = (  # columns, and whether the last two are a corner
    (BOX, False),
    (("face_x0", "face_y0", "face_x1", "face_y1"), True),
    (("x", "y", "dx", "dy"), False),
)
_BOX_COLUMNS = frozenset(name for columns, _ in _BOXES for name in columns)
COLUMNS = frozenset([*_SYNONYMS, *_BOX_COLUMNS])
_WITHOUT = {
    "age": ("labels: there are no ages; `jobs.train.heads` gender learns these alone",),
    "gender": ("labels: there are no genders; `jobs.train.heads` age learns ages alone",),
}
TEXTS = (*text_tables.SUFFIXES, *(f"{suffix}.gz" for suffix in text_tables.SUFFIXES))
_JSON = (".jsonl", ".ndjson", ".json")
_NO_CODES: Mapping[str, str] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class LabelRows:
    """What a labels file says.

    Attributes:
        frame: path, the columns of `ages.years_of`, gender and race (null where unknown), split
            where it is asked for, `label_` and the columns of `manifest.BOX` where the file
            has a face's box; every row of the file.
        told: what became of its values.
        unnamed: what is to be said of a picture that it says nothing of.
    """

    frame: pd.DataFrame
    told: Told
    unnamed: str = "the labels file does not name it"


def read_labels(
    labels_uri: str, split_column: str | None = None, gender_codes: Mapping[str, str] = _NO_CODES
) -> LabelRows:
    """Read and check a labels file.

    Args:
        labels_uri: a text table, .jsonl or .parquet with path, age (years or a range of years) or
            gender, and maybe race, under these names or one of `_SYNONYMS`.
        split_column: its column that says train, val or test, or None.
        gender_codes: what numbers in the column gender mean.

    Raises:
        UsageError: neither kind of file.
        ManifestError: a column is missing, or holds what it must not.
    """
    uri = storage.normalize(labels_uri)
    storage.require_readable(uri, "`labels`")
    frame, separator = _table_of(uri)
    found = plain_names(frame.columns)
    frame = frame.rename(columns=found)
    if "path" not in frame or not {"age", "gender"} & {*frame.columns}:
        split_by = ""
        if separator not in ("", ","):
            split_by = f", separated by {text_tables.separated_by(separator)}"
        raise ManifestError(
            f"`labels` {uri} needs the columns path, and age or gender or both: it has "
            f"{', '.join(map(str, frame.columns))}{split_by}"
        )
    if frame.empty:
        raise ManifestError(f"`labels` {uri} has a header and no rows")
    read = checked(frame, uri, split_column, gender_codes, decimal_comma=separator == ";")
    renamed = [f"{old} is {new}" for old, new in found.items() if str(old).strip().lower() != new]
    notes = [f"labels: column {', '.join(renamed)}"] if renamed else []
    return dataclasses.replace(read, told=Told(notes=tuple(notes)) + read.told)


def _table_of(uri: str) -> tuple[pd.DataFrame, str]:
    """The table in a file, and what separates its columns, if that is a text.

    Raises:
        UsageError: it is of another kind, or damaged.
    """
    name = uri.lower()
    if name.endswith(".parquet"):
        return tables.read_table(uri).to_pandas(), ""
    if name.endswith(TEXTS):
        wanted = {*_BOX_COLUMNS, *(other for names in _SYNONYMS.values() for other in names)}
        return text_tables.read_text_table(storage.read_bytes(uri), uri, wanted)
    name = name.removesuffix(".gz")
    if name.endswith(_JSON):
        text = io.StringIO(text_tables.decoded(storage.read_bytes(uri), uri))
        lines = not name.endswith(".json")
        try:
            frame = pd.read_json(text, lines=lines, dtype=False)
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            what = "one JSON object a line" if lines else "a JSON list of objects"
            raise ManifestError(f"`labels` {uri} is not {what}: {str(error)[:200]}") from None
        return frame, ""
    if name.endswith((".xlsx", ".xls", ".ods")):
        raise UsageError(f"`labels` {uri} is a spreadsheet: save it as CSV (UTF-8), and give that")
    raise UsageError(
        f"`labels` {uri}: give a .csv, .tsv or .txt with a header line, a .jsonl (also as .gz) "
        "or a .parquet; files of a data set, or their folder, need `label_format`"
    )


def read_labels_file(labels_uri: str) -> pd.DataFrame:
    """The rows of `read_labels`, one of each path, or of each path and box.

    Rows that contradict one another are left out. What became of the values is noted.

    Raises:
        FacemillError: see `read_labels`.
    """
    read = read_labels(labels_uri)
    for line in read.told.notes:
        note(f"note: {line}")
    frame = read.frame
    key = ["path", *boxes_of(frame)]
    return frame[~contradictory(frame, key)].drop_duplicates(key).reset_index(drop=True)


def contradictory(frame: pd.DataFrame, key: Sequence[str]) -> pd.Series:
    """Which rows another one of the same key contradicts in a label: bool (n,)."""
    labels = [name for name in LABELS if name in frame]
    again = frame[list(key)].duplicated(keep=False)
    said = frame.loc[again, [*key, *labels]].drop_duplicates()
    clash = said[said.duplicated(list(key), keep=False)][list(key)].drop_duplicates()
    marked = frame[list(key)].merge(clash.assign(clash=True), how="left", on=list(key))
    return pd.Series(marked["clash"].notna().to_numpy(), index=frame.index)


def boxes_of(frame: pd.DataFrame) -> list[str]:
    """Names of the columns of the box of each label's face, if there are boxes."""
    return [f"label_{name}" for name in BOX if f"label_{name}" in frame]


def plain_names(columns: Iterable[Any]) -> dict[Any, str]:
    """The columns that are labels, with the names that they have here.

    Capitals and spaces do not matter; of several that may be one label the first of `_SYNONYMS`.
    """
    plain = {column: re.sub(r"[\s-]+", "_", str(column).strip().lower()) for column in columns}
    have = list(plain.values())
    chosen = {name: name for name in _BOX_COLUMNS}
    for name, synonyms in _SYNONYMS.items():
        found = next((other for other in synonyms if other in have), name)
        chosen[found] = name
    return {c: chosen[p] for c, p in plain.items() if p in chosen and have.count(p) == 1}


def checked(
    frame: pd.DataFrame, uri: str, split_column: str | None, gender_codes: Mapping[str, str],
    decimal_comma: bool,
) -> LabelRows:  # fmt: skip
    """What the texts of a table with path, age, gender and maybe race and a box mean.

    Raises:
        ManifestError: a column holds what it must not.
    """
    empty = pd.Series("", index=frame.index, dtype=object)
    texts = {
        name: text_tables.texts_of(frame[name]) if name in frame else empty for name in _SYNONYMS
    }
    result = pd.DataFrame({"path": texts["path"]})
    years, of_ages = ages.years_of(texts["age"], decimal_comma)
    for name in ages.COLUMNS:
        result[name] = years[name]
    result["gender"], of_genders = names.genders_of(texts["gender"], gender_codes, uri)
    result["race"], of_races = names.races_of(texts["race"])
    told = Told()
    for name, more in (("age", of_ages), ("gender", of_genders), ("race", of_races)):
        told += more if name in frame else Told(notes=_WITHOUT.get(name, ()))
    for name, values in _box(frame).items():
        result[f"label_{name}"] = values
    if split_column:
        if split_column not in frame:
            raise ManifestError(f"`split` {split_column}: {uri} has no such column")
        result["split"] = text_tables.texts_of(frame[split_column])
        illegal = sorted(set(result["split"]) - set(splits.SPLITS))
        if illegal:
            raise ManifestError(f"`split` holds {illegal}: legal are train, val, test")
    return LabelRows(result.reset_index(drop=True), told)


def _box(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Left, top, width and height of each label's face, in pixels; none where there is no box.

    As facemill's own manifests name them, as LAGENDA does (two corners), or as Adience does.
    """
    for columns, has_corners in _BOXES:
        if set(columns) <= set(frame.columns):
            left, top, third, fourth = (pd.to_numeric(frame[n], errors="coerce") for n in columns)
            size = (third - left, fourth - top) if has_corners else (third, fourth)
            return dict(zip(BOX, (left, top, *size), strict=True))
    return {}
