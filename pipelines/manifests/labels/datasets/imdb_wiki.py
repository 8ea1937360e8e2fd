"""IMDB-WIKI (Rothe 2015): imdb.mat and wiki.mat, a structure of MATLAB each.

Fields dob (date of birth, as days since the year 0), photo_taken (year), full_path, gender (0
female, 1 male, NaN unknown), face_location (x1 y1 x2 y2, from 1), face_score (-Inf where no face
was found) and second_face_score (NaN where no second one was). The age is that of the middle of the
year, as its publishers count it. Pictures without a face or with a second one are left out: nothing
says that they show the person. Boxes mean places in the photographs, not in imdb_crop, wiki_crop.
"""

import datetime as dt
import io
import re
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from model.errors import ManifestError
from pipelines.manifests.labels.datasets.kinds import InFiles, LabelFile
from pipelines.manifests.labels.telling import Told

_FIELDS = (
    "dob", "photo_taken", "full_path", "gender", "face_location", "face_score", "second_face_score",
)  # fmt: skip
_DAYS_BEFORE = 366  # MATLAB's day 367 is 0001-01-01, Python's day 1
_CORNERS = ("face_x0", "face_y0", "face_x1", "face_y1")


def age_of(born: float, year: float) -> int | None:
    """Completed years on the first of July; None where a date is none.

    Args:
        born: MATLAB's serial date.
        year: in which the photograph was taken.
    """
    if not (np.isfinite(born) and np.isfinite(year)):
        return None
    day = int(born) - _DAYS_BEFORE
    if not 1 <= day <= dt.date.max.toordinal():
        return None
    birth = dt.date.fromordinal(day)
    return int(year) - birth.year - ((birth.month, birth.day) > (7, 1))


def _read(file: LabelFile, uris: Collection[str]) -> tuple[pd.DataFrame, Told]:
    fields = _fields(file)
    ages = [age_of(*pair) for pair in zip(fields["dob"], fields["photo_taken"], strict=True)]
    frame = pd.DataFrame(
        {
            "path": [_text(value) for value in fields["full_path"]],
            "age": ["" if age is None else str(age) for age in ages],
            "gender": pd.Series(fields["gender"]).map({0.0: "female", 1.0: "male"}).fillna(""),
        }
    )
    if not any("_crop/" in uri for uri in uris):
        corners = np.array([np.ravel(box)[:4] for box in fields["face_location"]], float) - 1.0
        frame[list(_CORNERS)] = corners
    score = np.asarray(fields["face_score"], float)
    second = np.asarray(fields["second_face_score"], float)
    kinds = pd.Series("", index=frame.index).mask(~np.isnan(second), "pictures_of_several_people")
    kinds = kinds.mask(~np.isfinite(score), "pictures_of_nobody")
    told = Told.of(kinds, frame["path"], _SENTENCES)
    return frame[kinds == ""].reset_index(drop=True), told


def _fields(file: LabelFile) -> dict[str, Any]:
    """Its fields, each of shape (n,).

    Raises:
        ManifestError: it is no file of MATLAB, or of another structure.
    """
    from scipy.io import loadmat  # a second; comes with nncf

    wrong = f"`labels` {file.uri} is neither imdb.mat nor wiki.mat of IMDB-WIKI"
    advice = "give one of these, or another `label_format`"
    try:
        content: dict[str, Any] = loadmat(io.BytesIO(file.data))
    except Exception as error:  # of scipy: ValueError, NotImplementedError (version 7.3), …
        raise ManifestError(f"{wrong}: {error}: {advice}") from None
    found = next((value for key, value in content.items() if key in ("imdb", "wiki")), None)
    names = () if found is None else found.dtype.names or ()
    missing = [name for name in _FIELDS if name not in names]
    if found is None or missing:
        have = ", ".join(key for key in content if not key.startswith("__"))
        raise ManifestError(f"{wrong}: it lacks {', '.join(missing)} and has {have}: {advice}")
    record = found.ravel()[0]
    return {name: np.ravel(record[name]) for name in _FIELDS}


def _text(value: Any) -> str:
    return str(np.ravel(value)[0]) if np.size(value) else ""


_SENTENCES = {
    "pictures_of_nobody": "labels: {count} rows have no face by their own score (the first: "
    "{first}); they are skipped",
    "pictures_of_several_people": "labels: {count} rows have a second face by their own score "
    "(the first: {first}); they are skipped",
}
DATASET = InFiles(
    "IMDB-WIKI", "imdb.mat", re.compile(r"(imdb|wiki)\.mat", re.IGNORECASE), (), _read
)
