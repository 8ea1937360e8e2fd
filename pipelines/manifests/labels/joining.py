"""Which label belongs to which file: by its name, or by the path that a labels file has."""

import unicodedata
from collections.abc import Iterator
from typing import Any

import pandas as pd

from model.errors import ManifestError
from pipelines.manifests.labels.datasets import reading
from pipelines.manifests.labels.sidecar import are_beside, read_beside
from pipelines.manifests.labels.table import LabelRows, boxes_of, contradictory, read_labels
from pipelines.manifests.labels.telling import Told
from pipelines.manifests.options import IngestOptions, LabelFormat
from pipelines.storage.uris import BEFORE_NAME

_SUFFIX = r"\.[^./]+$"
_WITH_FOLDER = r"([^/#]+/[^/#]+)$"


def apply_labels(rows: pd.DataFrame, options: IngestOptions) -> tuple[pd.DataFrame, Told]:
    """Decide where labels come from.

    Args:
        rows: listed files with what their names say; `stage` is label where that is nothing.
        options: of the ingest.

    Returns:
        The rows with labels, or with the reason why they have none, and what is to be told.

    Raises:
        ManifestError: the labels file cannot be used, or names no file.
    """
    unnamed = rows["stage"] == "label"
    choice: Any = _format(rows, unnamed, options)
    if choice == "utkface":
        return rows, Told(notes=("labels: UTKFace file names",))
    rows.loc[unnamed, ["stage", "reason"]] = None
    rows[["age_years", "gender", "race", "taken_at"]] = None
    if choice == "none":
        return rows, Told(notes=("labels: none; this manifest is for scoring",))
    if choice == "sidecar":
        read = read_beside(rows, options.split_column, options.codes)
        rows = rows[rows["beside"].isna()].reset_index(drop=True)  # those are no inputs
        source = choice
    elif choice == "table":
        source = str(options.labels)
        read = read_labels(source, options.split_column, options.codes)
    else:
        read = reading.read_as(choice, rows, options.labels, options.place, options.split_column)
        source = f"{options.labels or options.place} as {choice}"
    return _join(rows, read, source, options)


def _format(rows: pd.DataFrame, unnamed: pd.Series, options: IngestOptions) -> LabelFormat:
    """The format of the labels: `label_format`, or for auto what the files look like."""
    if options.label_format != "auto":
        return options.label_format
    if options.labels is not None:
        is_plain = options.gender_codes is not None
        return "table" if is_plain else reading.of_file(options.labels) or "table"
    if 2 * unnamed.sum() < len(rows[rows["stage"].isna() | unnamed]):
        return "utkface"
    return "sidecar" if are_beside(rows) else reading.of_listing(rows) or "none"


def _join(
    rows: pd.DataFrame, read: LabelRows, choice: str, options: IngestOptions
) -> tuple[pd.DataFrame, Told]:
    """Join labels; one row a label: a picture with several boxed faces has several."""
    label_rows = read.frame
    file = _named_files(rows, label_rows["path"], options.place)
    found = file[file >= 0]
    usable = rows["stage"].isna().to_numpy()
    if not usable[found].any():
        raise ManifestError(
            f"`labels` {choice}: none of its {len(label_rows)} paths matches a file below "
            f"{options.place}; the first is {label_rows['path'].iloc[0]!r}"
        )
    unused = len(label_rows) - len(found)
    notes = [f"labels: {choice}, {unused} of its {len(label_rows)} rows match no file"]
    unnamed = rows[~rows.index.isin(rows.index[found])].copy()
    _reject(unnamed, unnamed["stage"].isna(), read.unnamed)
    labelled = rows.iloc[found].reset_index(drop=True)
    for column in label_rows.columns.drop("path"):
        labelled[column] = label_rows.loc[found.index, column].to_numpy()
    labelled, more = _one_label_each(labelled, options.faces == "crop")
    known = labelled[["age_years", "age_low_years", "gender"]].notna().any(axis=1)
    unknown = labelled["stage"].isna() & ~known
    _reject(labelled, unknown, "neither a legal age nor a gender is given")
    told = Told(notes=tuple(notes)) + read.told + more
    return pd.concat([labelled, unnamed], ignore_index=True), told


def _named_files(rows: pd.DataFrame, paths: pd.Series, place: str) -> pd.Series:
    """The position in `rows` of the file that each path names, -1 for none.

    By URI, path below the images, base name, these two without their suffix, and the name with its
    folder; first as the path stands there, then less spaces around, `./` and backslashes, then
    whatever its letters' case and however its accents are composed.
    """
    file = pd.Series(-1, index=paths.index)
    plain = (
        paths.str.strip()
        .str.replace("\\", "/", regex=False)
        .str.replace(r"^(\./)+", "", regex=True)
    )
    for key in _keys(rows["uri"], place):
        lookup = pd.Series(range(len(rows)), index=key)
        lookup = lookup[lookup.index.notna()]
        for wanted in (paths, plain):
            file = file.where(file >= 0, wanted.map(lookup).fillna(-1).astype(int))
    return file if (file >= 0).all() else _named_loosely(rows, plain, place, file)


def _named_loosely(rows: pd.DataFrame, paths: pd.Series, place: str, file: pd.Series) -> pd.Series:
    """`file`, and for paths that name none the one that has that name but for case and accents."""
    paths, free = paths.map(_folded), ~rows.index.isin(rows.index[file[file >= 0]])
    for key in _keys(rows["uri"], place):
        names = key.map(_folded, na_action="ignore")
        is_one = free & names.notna().to_numpy() & ~names.duplicated(keep=False).to_numpy()
        lookup = pd.Series(range(len(rows)), index=names)[is_one]
        file = file.where(file >= 0, paths.map(lookup).fillna(-1).astype(int))
    return file


def _folded(name: str) -> str:
    """As file systems compare names: Windows by letters alone, and macOS takes accents apart."""
    return unicodedata.normalize("NFC", name).casefold()


def _keys(uris: pd.Series, place: str) -> Iterator[pd.Series]:
    """What files may be called, null where two share it: such a name tells nothing."""
    relative = uris.str.removeprefix(place).str.replace(r"^[/#]", "", regex=True)
    base = uris.str.replace(BEFORE_NAME, "", regex=True)
    stems = (names.str.replace(_SUFFIX, "", regex=True) for names in (relative, base))
    with_folder = uris.str.extract(_WITH_FOLDER, expand=False)
    yield uris
    for names in (relative, base, *stems, with_folder):
        yield names.mask(names.duplicated(keep=False))


def _one_label_each(labelled: pd.DataFrame, whole: bool) -> tuple[pd.DataFrame, Told]:
    """Rows of one file, or of one box in it, that agree as one; those that do not as rejects."""
    boxes = boxes_of(labelled)
    key = ["uri", *boxes]
    clash = contradictory(labelled, key) & labelled["stage"].isna()
    reason = "the labels file gives it conflicting labels"
    _reject(labelled, clash, reason)
    once = labelled.drop_duplicates(key)
    counts = {
        "rows_repeated": len(labelled) - len(once),
        "files_with_contradictory_labels": int(labelled.loc[clash, "uri"].nunique()),
    }
    if whole:
        if boxes:
            several = once[once["stage"].isna()].groupby("uri").size()
            counts["files_with_several_faces"] = int((several > 1).sum())
        once = once.drop_duplicates("uri").drop(columns=boxes)
    counts = {name: count for name, count in counts.items() if count}
    notes = tuple(_SENTENCES[name].format(f"{count:,}") for name, count in counts.items())
    return once.reset_index(drop=True), Told(counts, notes)


_SENTENCES = {
    "rows_repeated": "labels: {} rows repeat the label of another row",
    "files_with_contradictory_labels": "labels: {} files have conflicting labels; they are rejects",
    "files_with_several_faces": "labels: {} images have several labelled faces, of which the first "
    "is used (`faces` detect uses every face)",
}


def _reject(rows: pd.DataFrame, which: pd.Series, reason: str) -> None:
    rows.loc[which, ["stage", "reason"]] = ["label", reason]
