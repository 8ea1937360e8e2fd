"""UTKFace's file-name convention: `[age]_[gender]_[race]_[yyyymmddHHMMSSmmm].jpg.chip.jpg`.

A data set's naming is that data set's accident, so it stays in this one file.

Of the data set's malformed names, what is certain is recovered and what is not stays null:

- `24_0_1_20170116220224657 .jpg.chip.jpg`: a stray space, removed.
- `55_0_0_20170116232725357jpg.chip.jpg`: a missing dot before jpg, restored.
- `61_1_20170109150557335.jpg.chip.jpg` (three such names): the race field is missing, since the
  last field is the time. Age and gender are certain, so the image is kept with race null.

A few times have 16 or 18 digits: the labels are certain, `taken_at` is null.

Kaggle has the same data set as a CSV of pixels, with the codes of these names in columns.
"""

import dataclasses
import datetime as dt
import re
from typing import TYPE_CHECKING

from model.labels import GENDERS, MAX_AGE_YEARS, RACES

if TYPE_CHECKING:  # the names alone need no pandas
    import pandas as pd

UTKFACE = "UTKFace"
_NAME = re.compile(
    r"(?P<age>\d{1,3})_(?P<gender>\d+)(?:_(?P<race>\d{1,2}))?_(?P<time>\d{14,})\s*\.?jpe?g(?:\.chip\.jpg)?",
    re.IGNORECASE,
)

_KAGGLE = {"age", "ethnicity", "gender", "img_name"}  # the header of `age_gender.csv`, less pixels


@dataclasses.dataclass(frozen=True)
class FileLabels:
    """Labels from one file name; `gender` and `race` are the codes of model/labels.py."""

    age_years: int
    gender: int
    race: int | None
    taken_at: dt.datetime | None


def parse_name(name: str) -> FileLabels | str:
    """Labels from a file's base name, or a sentence that says why there are none.

    Args:
        name: base name, without folders.

    Returns:
        `FileLabels`, or the reason as text: a bad row is data, not an exception.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return "the name is not [age]_[gender]_[race]_[datetime].jpg"
    age, gender = int(match["age"]), int(match["gender"])
    race = None if match["race"] is None else int(match["race"])
    if age > MAX_AGE_YEARS:
        return f"age {age} is outside 0-{MAX_AGE_YEARS}"
    if gender >= len(GENDERS):
        return f"gender {gender} is neither 0 (male) nor 1 (female)"
    if race is not None and race >= len(RACES):
        return f"race {race} is outside 0-{len(RACES) - 1}"
    return FileLabels(age, gender, race, _parse_time(match["time"]))


def _parse_time(digits: str) -> dt.datetime | None:
    """`yyyymmddHHMMSSmmm` as a time of day without zone, or None where it is not one."""
    if len(digits) != 17:
        return None
    try:
        return dt.datetime.strptime(digits + "000", "%Y%m%d%H%M%S%f")
    except ValueError:
        return None


def of_kaggle(table: "pd.DataFrame") -> "pd.DataFrame":
    """Texts under Kaggle's header as age, gender in words, and race; others as they are."""
    if not set(table.columns) >= _KAGGLE:
        return table
    words = dict(zip("01", GENDERS, strict=True))
    named = table.rename(columns={"ethnicity": "race"})
    return named.assign(gender=named["gender"].replace(words))
