"""A labels file for images that do not say their labels by name: CSV and its kin, or Parquet."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd

from model.errors import ManifestError, UsageError
from pipelines import storage
from pipelines.manifests import splits
from pipelines.manifests.labels import ages, names, text_tables
from pipelines.manifests.labels.telling import Told
from pipelines.manifests.manifest import BOX
from pipelines.storage import tables
from pipelines.telemetry.log import note

LABELS = (*ages.COLUMNS, "gender", "race", "split")
_REQUIRED = ("path", "age", "gender")
_BOXES = (  # columns, and whether the last two are a corner
    (BOX, False),
    (("face_x0", "face_y0", "face_x1", "face_y1"), True),
    (("x", "y", "dx", "dy"), False),
)
COLUMNS = frozenset([*_REQUIRED, "race", *(name for columns, _ in _BOXES for name in columns)])
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
        labels_uri: a .csv, .tsv, .txt or .parquet with path, age (years or a range of years),
            gender and maybe race.
        split_column: its column that says train, val or test, or None.
        gender_codes: what numbers in the column gender mean.

    Raises:
        UsageError: neither kind of file.
        ManifestError: a column is missing, or holds what it must not.
    """
    uri = storage.normalize(labels_uri)
    storage.require_readable(uri, "`labels`")
    separator = ""
    if uri.endswith(".parquet"):
        frame: pd.DataFrame = tables.read_table(uri).to_pandas()
    elif uri.lower().endswith(text_tables.SUFFIXES):
        frame, separator = text_tables.read_text_table(storage.read_bytes(uri), uri, COLUMNS)
    else:
        raise UsageError(
            f"`labels` {labels_uri}: give a .csv, .tsv or .txt with a header "
            "line, or a .parquet; files of a data set, or their folder, need `label_format`"
        )
    frame = frame.rename(columns=plain_names(frame.columns))
    missing = [name for name in sorted(_REQUIRED) if name not in frame]
    if missing:
        split_by = ""
        if separator not in ("", ","):
            split_by = f", separated by {text_tables.separated_by(separator)}"
        raise ManifestError(
            f"`labels` {uri} lacks the column{'s' if len(missing) > 1 else ''} "
            f"{', '.join(missing)}: it has {', '.join(map(str, frame.columns))}{split_by}"
        )
    if frame.empty:
        raise ManifestError(f"`labels` {uri} has a header and no rows")
    return checked(frame, uri, split_column, gender_codes, decimal_comma=separator == ";")


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
    """The columns that are called as they should, but for capitals and spaces."""
    plain = {column: str(column).strip().lower() for column in columns}
    have = list(plain.values())
    return {
        column: name for column, name in plain.items() if name in COLUMNS and have.count(name) == 1
    }


def checked(
    frame: pd.DataFrame, uri: str, split_column: str | None, gender_codes: Mapping[str, str],
    decimal_comma: bool,
) -> LabelRows:  # fmt: skip
    """What the texts of a table with path, age, gender and maybe race and a box mean.

    Raises:
        ManifestError: a column holds what it must not.
    """
    texts = {
        name: text_tables.texts_of(frame[name]) for name in (*_REQUIRED, "race") if name in frame
    }
    result = pd.DataFrame({"path": texts["path"]})
    years, told = ages.years_of(texts["age"], decimal_comma)
    for name in ages.COLUMNS:
        result[name] = years[name]
    result["gender"], more = names.genders_of(texts["gender"], gender_codes, uri)
    told += more
    result["race"] = None
    if "race" in texts:
        result["race"], more = names.races_of(texts["race"])
        told += more
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
