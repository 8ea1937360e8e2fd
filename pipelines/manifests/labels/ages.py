"""Ages as labels files write them: years, months, ranges, and ranges that a spreadsheet made dates.

Those dates: `dates.py`. A manifest holds both ends of a range, and a number of years that stands
for it: its middle, if it is at most `SPREAD_YEARS` wide. A wider or open one has no such number.
"""

import contextlib
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from model.age_ranges import SPREAD_YEARS
from model.labels import MAX_AGE_YEARS, MIN_AGE_YEARS
from pipelines.manifests.labels import dates
from pipelines.manifests.labels.dates import Range
from pipelines.manifests.labels.telling import Told

RANGE = ("age_low_years", "age_high_years")
COLUMNS = ("age_years", *RANGE)

_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200e\u200f\u2060\ufeff"))  # of no width
_NUMBER = r"(\d{1,3}(?:\.\d+)?)"
_UNIT = r"(?:\s*-?\s*(?:years?|yrs?|y)\.?(?:[\s-]*(?:olds?|of age))?|\s*y\.?\s?/?o\.?)?"
_TO = (
    r"\s*(?:-|\u2010|\u2011|\u2012|\u2013|\u2014|\u2212|~|\uff5e|\uff0d|_|\.\.\.?|\u2026"
    r"|to|and|through|,)\s*"
)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_EXACT = _pattern(
    rf"(?:age[ds]?\s*:?\s*|approx\.?\s*|about\s*|around\s*|circa\s*|ca?\.\s*|~\s*)?{_NUMBER}{_UNIT}"
)
# (a part of a year, its name), for infants
_PARTS = ((12, r"(?:months?|mths?|mos?)"), (52, r"(?:weeks?|wks?)"), (365, r"days?"))
_IN_PARTS = tuple(
    (parts, _pattern(rf"{_NUMBER}[\s-]*(?:{_TO}{_NUMBER}[\s-]*)?{name}\.?(?:[\s-]*old)?"))
    for parts, name in _PARTS
)
_AND_MONTHS = _pattern(
    rf"{_NUMBER}\s*(?:years?|yrs?|y)\.?,?\s*(?:and\s+)?{_NUMBER}\s*(?:months?|mths?|mos?|m)\.?(?:\s*old)?"
)
_SPAN = _pattern(
    rf"(?:age[ds]?[\s:_]*|between\s+|from\s+)?(?P<open>[\[(]?)\s*{_NUMBER}{_UNIT}{_TO}"
    rf"{_NUMBER}{_UNIT}\s*(?P<close>[\])]?){_UNIT}"
)
_THIRDS = {"": (0, 9), "early": (0, 3), "mid": (4, 6), "late": (7, 9)}
_DECADE = _pattern(r"(?:(early|mid|late)[\s-]*)?(\d{1,2}0)\s*['\u2019]?s")
_FROM = _pattern(  # 60 belongs to it
    rf"(?:(?:>=|=>|\u2265|at least|from)\s*{_NUMBER}{_UNIT}(?:\s+on(?:wards?)?)?"
    rf"|{_NUMBER}{_UNIT}\s*(?:\+|plus|(?:and|or)\s+(?:over|above|older|more|up)|-\s*(?:inf|\u221e))"
    rf"{_UNIT})"
)
_ABOVE = _pattern(rf"(?:>|(?:more|older|greater)\s+than|over|above)\s*{_NUMBER}{_UNIT}")
_BELOW = _pattern(rf"(?:<|(?:less|younger|fewer)\s+than|under|below)\s*{_NUMBER}{_UNIT}")
_UP_TO = _pattern(
    rf"(?:(?:<=|=<|\u2264|at most|up to|until)\s*{_NUMBER}{_UNIT}"
    rf"|{_NUMBER}{_UNIT}\s*(?:and|or)\s+(?:under|below|younger|less))"
)


def read_age(text: str) -> Range | None:
    """(lowest, highest) age that a text means, or None where it means none; illegal ages too.

    A date of a day and a month (`9-Mar`) is the range 3-9 that a spreadsheet took for it. One with
    a year is for `dates.whole` to judge: it may be a birthday.
    """
    text = " ".join(text.translate(_UNSEEN).split()).removeprefix("'")
    if "_" not in text:  # Python reads 20_29 as 2029
        with contextlib.suppress(ValueError):
            return (float(text), float(text))
    if match := _EXACT.fullmatch(text):
        return float(match[1]), float(match[1])
    for parts, pattern in _IN_PARTS:
        if match := pattern.fullmatch(text):
            return _ordered(float(match[1]) / parts, float(match[2] or match[1]) / parts)
    if match := _AND_MONTHS.fullmatch(text):
        return (age := float(match[1]) + float(match[2]) / 12, age)
    if match := _DECADE.fullmatch(text):
        first, last = _THIRDS[(match[1] or "").lower()]
        return float(match[2]) + first, float(match[2]) + last
    if text.lower() in ("teen", "teens", "teenager"):
        return 13.0, 19.0
    if match := _SPAN.fullmatch(text):
        return _span(match)
    for pattern, is_low, step in (
        (_FROM, True, 0), (_ABOVE, True, 1), (_UP_TO, False, 0), (_BELOW, False, -1),
    ):  # fmt: skip
        if match := pattern.fullmatch(text):
            edge = float(next(group for group in match.groups() if group)) + step
            return (edge, float(MAX_AGE_YEARS)) if is_low else _ordered(MIN_AGE_YEARS, edge)
    return dates.day_and_month(text)


def _span(match: re.Match[str]) -> Range | None:
    """Two numbers; of half-open intervals such as [20, 30) the open end does not belong to it."""
    numbers = [group for group in match.groups() if group and group[0].isdigit()]
    opening, closing = match["open"], match["close"]
    if "," in match[0] and not (opening and closing) and ", " not in match[0]:
        return None  # 25,5 may be a decimal number
    if bool(opening) != bool(closing):
        return None
    low, high = float(numbers[0]), float(numbers[1])
    if opening + closing == "[)":
        high -= 1
    elif opening + closing == "(]":
        low += 1
    return _ordered(low, high)


def _ordered(low: float, high: float) -> Range | None:
    return (float(low), float(high)) if low <= high else None


def years_of(texts: pd.Series, decimal_comma: bool = False) -> tuple[pd.DataFrame, Told]:
    """Ages in years, and what is to be told of them.

    Args:
        texts: of the column, empty where it is.
        decimal_comma: 25,5 is 25.5: so write the languages that separate columns by semicolons.

    Returns:
        age_years, NaN where no one number is certain; age_low_years and age_high_years, the ends
        of what is a range, else NaN; and the counts.
    """
    known = list(dict.fromkeys(texts))
    dated = dates.whole(known, any(low < high for low, high in filter(None, map(read_age, known))))
    years, kinds = dict[str, tuple[float, float, float]](), dict[str, str]()
    for text in known:
        plain = re.sub(r"^(\d+),(\d+)$", r"\1.\2", text.strip()) if decimal_comma else text
        span = dated.get(text) or read_age(plain)
        years[text], kinds[text] = _years_and_kind(text, span, text in dated)
    told = Told.of(texts.map(kinds), texts, _SENTENCES)
    values = [years[text] for text in texts]
    return pd.DataFrame(values, index=texts.index, columns=list(COLUMNS), dtype=float), told


def _years_and_kind(
    text: str, span: Range | None, dated: bool
) -> tuple[tuple[float, float, float], str]:
    """The values of `COLUMNS`, and a key of `told`."""
    nan = float("nan")
    if not text.strip():
        return (nan, nan, nan), "ages_empty"
    if span is None or not MIN_AGE_YEARS <= span[0] <= MAX_AGE_YEARS:  # nor NaN
        return (nan, nan, nan), "ages_illegal"
    low, high = span[0], min(span[1], float(MAX_AGE_YEARS))
    if low == high:
        return (low, nan, nan), ""
    if high - low > SPREAD_YEARS:
        return (nan, low, high), "ages_of_wide_ranges"
    kind = "ages_of_dates" if dated or dates.day_and_month(text) else "ages_of_ranges"
    return ((low + high) / 2, low, high), kind


_SENTENCES: Mapping[str, Any] = {
    "ages_of_ranges": f"ages: {{count}} are ranges of at most {SPREAD_YEARS} years (the first: "
    "{first!r}); age_years is their middle",
    "ages_of_dates": "ages: {count} are ranges that a spreadsheet turned into dates (the first: "
    "{first!r}); they are read as ranges again",
    "ages_of_wide_ranges": "ages: {count} are open ranges, or wider than "
    f"{SPREAD_YEARS} years (the first: {{first!r}}), which have no age_years",
    "ages_illegal": "ages: {count} are not an age "
    f"from {MIN_AGE_YEARS} to {MAX_AGE_YEARS} (the first: {{some}}); they become null",
    "ages_empty": "ages: {count} are empty",
}
