"""Labels as a data set says them, and which data set it is where that is certain."""

import dataclasses
import re
from collections.abc import Iterator

import pandas as pd

from model.errors import ManifestError, StorageError, UsageError
from pipelines import storage
from pipelines.manifests.labels.datasets import NAMES, Name, convention
from pipelines.manifests.labels.datasets.kinds import InFiles, InNames, LabelFile
from pipelines.manifests.labels.table import LabelRows, checked
from pipelines.manifests.labels.telling import Told
from pipelines.storage import listing, text_tables
from pipelines.storage.entries import ReadFailure
from pipelines.storage.fetching import fetch
from pipelines.storage.uris import BEFORE_NAME

_SHARE = 0.9  # of the pictures: where fewer have such paths, they are not of that data set


def read_as(
    name: Name, rows: pd.DataFrame, labels: str | None, place: str, split_column: str | None
) -> LabelRows:
    """What a data set's convention says, as `read_labels` gives what a labels file says.

    Args:
        name: of the data set.
        rows: listed files.
        labels: its file, or the folder of its files; None: those among the listed ones.
        place: of the images, for messages.
        split_column: split, to take its own parts as splits, or None.

    Raises:
        ManifestError: there are no such labels, or they are no such data set's.
        UsageError: a file is given for a data set that has none.
        StorageError: they cannot be read.
    """
    known = convention(name)
    pictures = rows[rows["stage"] != "list"]["uri"]
    if isinstance(known, InNames):
        if labels is not None:
            raise UsageError(
                f"`label_format` {name} reads labels from the paths of the images, and `labels` is "
                f"{labels}: leave one of the two out"
            )
        frame = known.frame(pictures)
        if frame.empty:
            raise ManifestError(
                f"`label_format` {name}: no path is like {known.title}'s {known.form}; the first "
                f"is {pictures.iloc[0]}: give another `label_format`, or `labels`"
            )
        read = _checked(frame, known, known.title, split_column)
        reason = f"the path is not {known.title}'s {known.form}"
        return dataclasses.replace(read, unnamed=reason)
    frames: list[pd.DataFrame] = []
    told = Told()
    uri = ""
    for file in _label_files(known, rows, labels):
        frame, more = known.read(file, pictures)
        frames.append(frame)
        told += more
        uri = uri or file.uri
    if not frames:
        raise ManifestError(
            f"`label_format` {name}: there is no labels file such as {known.example} below "
            f"{labels or place}: give it, or its folder, as `labels`"
        )
    read = _checked(pd.concat(frames, ignore_index=True), known, uri, split_column)
    return dataclasses.replace(read, told=told + read.told)


def _checked(
    frame: pd.DataFrame, known: InFiles | InNames, uri: str, split_column: str | None
) -> LabelRows:
    if split_column is None and "split" in frame:
        frame = frame.drop(columns="split")
    return checked(frame, uri, split_column, known.codes, decimal_comma=False)


def _label_files(known: InFiles, rows: pd.DataFrame, labels: str | None) -> Iterator[LabelFile]:
    """The files of labels: that which was given, those of a folder, or the listed ones."""
    if labels is None:
        for row in _listed(known.files, rows).to_dict("records"):
            offset = None if pd.isna(row["offset"]) else int(row["offset"])
            data = fetch({"uri": row["uri"], "offset": offset, "bytes": int(row["bytes"])})
            if isinstance(data, ReadFailure):
                raise ManifestError(f"`labels` {row['uri']} cannot be read: {data}")
            yield LabelFile(row["uri"], _base(row["uri"]), data)
        return
    uri = storage.normalize(labels)
    storage.require_readable(uri, "`labels`")
    if listing.is_folder(uri):
        found = (entry.uri for entry in listing.list_files(uri))
        uris = sorted(file for file in found if known.files.fullmatch(_base(file)))
    else:
        uris = [uri]
    for file in uris:
        yield LabelFile(file, _base(file), storage.read_bytes(file))


def _listed(files: re.Pattern[str], rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the listing whose names are those of label files."""
    others = rows[rows["stage"] == "list"]
    return others[[files.fullmatch(_base(uri)) is not None for uri in others["uri"]]]


def _base(uri: str) -> str:
    return re.sub(BEFORE_NAME, "", uri)


def of_listing(rows: pd.DataFrame) -> Name | None:
    """The one data set whose paths the pictures have, or whose label files lie beside them."""
    pictures = rows[rows["stage"] != "list"]["uri"]
    found: list[Name] = []
    for name in NAMES:
        known = convention(name)
        if isinstance(known, InNames):
            if known.certain and len(known.frame(pictures)) > _SHARE * len(pictures):
                found.append(name)
        elif len(_listed(known.files, rows)):
            found.append(name)
    return _one(found)


def of_file(labels: str) -> Name | None:
    """The one data set whose files have the columns of a text table, or are MATLAB's."""
    uri = storage.normalize(labels)
    if not uri.lower().endswith((*text_tables.SUFFIXES, ".mat")) or not storage.exists(uri):
        return None
    if uri.lower().endswith(".mat"):
        return "imdb-wiki"
    try:
        table, _ = text_tables.read_text_table(storage.read_bytes(uri), uri, ())
    except StorageError:  # which the reading of a labels file then says
        return None
    have = {str(column).strip().lower() for column in table.columns}
    if {"path", "age", "gender"} <= have:
        return None
    found: list[Name] = []
    for name in NAMES:
        known = convention(name)
        if isinstance(known, InFiles) and known.columns and have >= {*known.columns}:
            found.append(name)
    return _one(found)


def _one(names: list[Name]) -> Name | None:
    """The first of several that differ only in what is taken from the same files."""
    return names[0] if names and all(name.startswith(names[0]) for name in names) else None
