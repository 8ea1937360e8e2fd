"""Which label belongs to which file: by its name, or by the path that a labels file has."""

import dataclasses
import functools
import unicodedata
from collections.abc import Iterator
from typing import Any

import pandas as pd

from model.errors import ManifestError
from pipelines import storage
from pipelines.manifests.labels.datasets import reading
from pipelines.manifests.labels.sidecar import are_beside, read_beside
from pipelines.manifests.labels.table import LabelRows, boxes_of, contradictory, read_labels
from pipelines.manifests.labels.telling import Told
from pipelines.manifests.options import IngestOptions, LabelFormat
from pipelines.storage.uris import BEFORE_NAME
from pipelines.telemetry.log import note

_SUFFIX = r"\.[^./]+$"
_NAME = r"/?[^/]*$"
_SPLIT_FOLDERS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")


@dataclasses.dataclass(frozen=True)
class Given:
    """What is known of the labels before anything is listed.

    Attributes:
        format: of the labels; None where the listed files tell.
        rows: of a labels file, read and checked.
    """

    format: LabelFormat | None
    rows: LabelRows | None = None


def read_given(options: IngestOptions) -> Given:
    """Read the labels file of the options, if there is one: what is wrong in it is told first.

    Raises:
        FacemillError: see `read_labels`.
    """
    form = options.label_format
    if options.labels is not None:
        storage.require_readable(storage.normalize(options.labels), "`labels`")
        if form == "auto":
            is_plain = options.gender_codes is not None
            form = "table" if is_plain else reading.of_file(options.labels) or "table"
        if form == "table":
            read = read_labels(options.labels, options.split_column, options.codes)
            return Given(form, read)
    return Given(None if form == "auto" else form)


def apply_labels(
    rows: pd.DataFrame, options: IngestOptions, given: Given
) -> tuple[pd.DataFrame, Told]:
    """Decide where labels come from.

    Args:
        rows: listed files with what their names say, where `stage` is label where that is nothing,
            and with the texts of label files in `beside`.
        options: of the ingest.
        given: of `read_given`.

    Returns:
        The rows with labels, or with the reason why they have none, and what is to be told.

    Raises:
        ManifestError: the labels file cannot be used, or names no file.
    """
    rows, told = _labelled(rows, options, given)
    return rows.drop(columns="beside"), told


def _labelled(
    rows: pd.DataFrame, options: IngestOptions, given: Given
) -> tuple[pd.DataFrame, Told]:
    unnamed = rows["stage"] == "label"
    choice: Any = given.format or _format_of(rows, unnamed)
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
    elif given.rows is not None:
        source, read = str(options.labels), given.rows
    else:
        read = reading.read_as(choice, rows, options.labels, options.place, options.split_column)
        source = f"{options.labels or options.place} as {choice}"
    return _join(rows, read, source, options)


def _format_of(rows: pd.DataFrame, unnamed: pd.Series) -> LabelFormat:
    """The format of the labels by what the files look like."""
    if 2 * unnamed.sum() < len(rows[rows["stage"].isna() | unnamed]):
        return "utkface"
    return "sidecar" if are_beside(rows) else reading.of_listing(rows) or "none"


def _join(
    rows: pd.DataFrame, read: LabelRows, choice: str, options: IngestOptions
) -> tuple[pd.DataFrame, Told]:
    """Join labels; one row a label: a picture with several boxed faces has several."""
    label_rows = read.frame
    file, moved = _named_files(rows, label_rows["path"], options.place)
    found = file[file >= 0]
    usable = rows["stage"].isna().to_numpy()
    if not usable[found].any():
        raise ManifestError(
            f"`labels` {choice}: none of its {len(label_rows)} paths matches a file below "
            f"{options.place}; the first is {label_rows['path'].iloc[0]!r}, and the first file "
            f"{rows['uri'].iloc[0]}"
        )
    unused = len(label_rows) - len(found)
    notes = [f"labels: {choice}, {unused} of its {len(label_rows)} rows match no file"]
    notes += [moved] if moved else []
    unnamed = rows[~rows.index.isin(rows.index[found])].copy()
    without = unnamed.loc[unnamed["stage"].isna(), "uri"]
    if 2 * unused > len(label_rows) and 2 * len(without) > usable.sum():
        first = label_rows["path"][file < 0].iloc[0]
        few = (
            f"labels: most name no image, as {first!r}, and most images have none, as "
            f"{without.iloc[0]}"
        )
        notes.append(few)
        note(f"note: {few}")  # at once, as the images are still to be read
    _reject(unnamed, unnamed["stage"].isna(), read.unnamed)
    labelled = rows.iloc[found].reset_index(drop=True)
    for column in label_rows.columns.drop("path"):
        labelled[column] = label_rows.loc[found.index, column].to_numpy()
    labelled, more = _one_label_each(labelled, options.faces == "crop")
    known = labelled[["age_years", "age_low_years", "gender"]].notna().any(axis=1)
    told = Told(notes=tuple(notes)) + read.told + more
    if not known.any():
        raise ManifestError(
            f"`labels` {choice}: no image gets a legal age or a gender: {'; '.join(told.notes)}"
        )
    unknown = labelled["stage"].isna() & ~known
    _reject(labelled, unknown, "neither a legal age nor a gender is given")
    return pd.concat([labelled, unnamed], ignore_index=True), told


def _named_files(rows: pd.DataFrame, paths: pd.Series, place: str) -> tuple[pd.Series, str]:
    """The position in `rows` of the file that each path names, -1 for none; and what to tell.

    By URI, path below the images, base name and these two without their suffix; first as the path
    stands there, then less spaces around, `./` and backslashes; then by `_by_tails`.
    """
    file = pd.Series(-1, index=paths.index)
    plain = (
        paths.str.strip()
        .str.replace("\\", "/", regex=False)
        .str.replace(r"^(\./)+", "", regex=True)
    )
    # As a list has addresses of the web.
    plain = plain.mask(plain.str.match("https?://"), plain.str.replace(" ", "%20", regex=False))
    for key in _keys(rows["uri"], place):
        lookup = pd.Series(range(len(rows)), index=key)
        lookup = lookup[lookup.index.notna()]
        for wanted in (paths, plain):
            file = file.where(file >= 0, wanted.map(lookup).fillna(-1).astype(int))
    if (file >= 0).all():
        return file, ""
    found = _by_tails(rows["uri"], plain, file)
    moved = (found >= 0) & (file < 0) & plain.str.contains("/")
    if not moved.any():
        return found, ""
    first = (paths[moved].iloc[0], rows["uri"].iloc[found[moved].iloc[0]])
    return found, (
        f"labels: {moved.sum():,} paths are matched by their ends (the first: {first[0]!r} is "
        f"{first[1]})"
    )


def _by_tails(uris: pd.Series, paths: pd.Series, file: pd.Series) -> pd.Series:
    """`file`, and for paths that name none the file that shares the most folders up to its name.

    So paths of another machine name their files. Neither another path nor another file may end
    like it, whatever its letters' case and however its accents are composed; a file that is named
    already is not named again. For a name alone: see `_are_certain`.
    """
    paths, file = paths.map(_folded), file.copy()
    names = uris.map(_folded).str.replace("#", "/", regex=False)
    for ends in (names, names.str.replace(_SUFFIX, "", regex=True)):
        wanted = set(_last(paths[file < 0]))
        folders = ends[_last(ends).isin(wanted)].str.split("/")
        once = paths.drop_duplicates()
        of_paths = once[_last(once).isin(wanted)].str.split("/")
        depth = min(max(map(len, folders), default=0), max(map(len, of_paths), default=0))
        for length in range(depth, 0, -1):
            free = file < 0
            if not free.any():
                break
            keys = folders.map(functools.partial(_tail, length=length))
            keys = keys[~keys.duplicated(keep=False) & ~keys.index.isin(file)]
            tails = of_paths.map(functools.partial(_tail, length=length))
            tails = tails[~tails.duplicated(keep=False) & (of_paths.map(len) >= length)]
            of_path = tails.map(pd.Series(keys.index, keys.to_numpy())).dropna()
            of_path.index = pd.Index(once[of_path.index])
            found = paths[free].map(of_path).dropna().astype(int)
            if length == 1:
                found = found[_are_certain(found, paths, names, int(free.sum()))]
            file[found.index] = found
    return file


def _are_certain(
    found: pd.Series, paths: pd.Series, names: pd.Series, unnamed: int
) -> "pd.Series[bool]":
    """Which matches by a name alone are certain enough.

    1.jpg of one folder is often another image than that of another folder. So the paths must lie in
    one folder, or be those of another machine, and half of those that name no file must name one
    so. Nor is an image of train one of test.
    """
    folder = paths[found.index].str.replace(_NAME, "", regex=True)
    there = names.loc[found].str.replace(_NAME, "", regex=True).set_axis(found.index)
    is_moved = folder.str.match(r"/|\w+:/") | (folder.nunique() == 1)
    is_split = _last(folder).isin(_SPLIT_FOLDERS) & _last(there).isin(_SPLIT_FOLDERS)
    return (folder == "") | (is_moved & ~is_split & (2 * len(found) >= unnamed))


def _tail(parts: list[str], length: int) -> str:
    return "/".join(parts[-length:])


def _last(paths: pd.Series) -> pd.Series:
    """What is behind the last slash of each."""
    return paths.str.replace(r"^.*/", "", regex=True)


def _folded(name: str) -> str:
    """As file systems compare names: Windows by letters alone, and macOS takes accents apart."""
    return unicodedata.normalize("NFC", name).casefold()


def _keys(uris: pd.Series, place: str) -> Iterator[pd.Series]:
    """What files may be called, null where two share it: such a name tells nothing."""
    relative = uris.str.removeprefix(place).str.replace(r"^[/#]", "", regex=True)
    base = uris.str.replace(BEFORE_NAME, "", regex=True)
    stems = (names.str.replace(_SUFFIX, "", regex=True) for names in (relative, base))
    yield uris
    for names in (relative, base, *stems):
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
