"""Ages as labels files write them: years, months, ranges, and ranges that a spreadsheet made dates.

A manifest holds both ends of a range, and a number of years that stands for it: its middle, if it
is at most `SPREAD_YEARS` wide. A wider or open one has no such number.
"""

import contextlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from model.age_ranges import SPREAD_YEARS
from model.labels import MAX_AGE_YEARS, MIN_AGE_YEARS
from pipelines.manifests.labels.telling import Told

RANGE = ("age_low_years", "age_high_years")
COLUMNS = ("age_years", *RANGE)

Range = tuple[float, float]  # inclusive, in completed years; one number twice where it is exact

_NUMBER = r"(\d{1,3}(?:\.\d+)?)"
_UNIT = r"(?:\s*-?\s*(?:years?|yrs?|y)\.?(?:[\s-]*(?:olds?|of age))?|\s*yo|\s*y/o)?"
_TO = r"\s*(?:-|\u2010|\u2011|\u2012|\u2013|\u2014|\u2212|~|_|\.\.\.?|\u2026|to|and|through|,)\s*"
_MONTHS: tuple[str, ...] = (
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
)  # fmt: skip
_MONTH = rf"({'|'.join(_MONTHS)})[a-z]*\.?"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_EXACT = _pattern(rf"(?:age[ds]?\s*:?\s*|approx\.?\s*|about\s*|ca?\.\s*|~\s*)?{_NUMBER}{_UNIT}")
_IN_MONTHS = _pattern(rf"{_NUMBER}[\s-]*(?:months?|mths?|mos?)\.?(?:[\s-]*old)?")
_SPAN = _pattern(
    rf"(?:age[ds]?[\s:_]*|between\s+|from\s+)?(?P<open>[\[(]?)\s*{_NUMBER}{_UNIT}{_TO}"
    rf"{_NUMBER}{_UNIT}\s*(?P<close>[\])]?){_UNIT}"
)
_DECADE = _pattern(r"(\d{1,2}0)\s*['\u2019]?s")
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
# What a spreadsheet shows of 3-9: a day and a month, whose order depends on its language.
_DAY_MONTH = _pattern(rf"(\d{{1,2}})\.?[\s.-]*{_MONTH}")
_MONTH_DAY = _pattern(rf"{_MONTH}[\s-]*(\d{{1,2}})")
_FIRST_TYPED = 2000  # a labels file with dates of an earlier year holds birthdays
_DATES = (
    re.compile(r"(?P<year>\d{4})[-/.](?P<a>\d{1,2})[-/.](?P<b>\d{1,2})(?:[ T][0:.]+Z?)?"),
    re.compile(r"(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<year>\d{4})(?: [0:.]+)?"),
    _pattern(rf"(?P<a>\d{{1,2}})[\s.-]*(?P<month>{_MONTH})[\s.,-]*(?P<year>\d{{4}})"),
)


def read_age(text: str) -> Range | None:
    """(lowest, highest) age that a text means, or None where it means none; illegal ages too.

    A date of a day and a month (`9-Mar`) is the range 3-9 that a spreadsheet took for it. One with
    a year is for `dated_ranges` to judge: it may be a birthday.
    """
    text = " ".join(text.split())
    if "_" not in text:  # Python reads 20_29 as 2029
        with contextlib.suppress(ValueError):
            return (float(text), float(text))
    if match := _EXACT.fullmatch(text):
        return float(match[1]), float(match[1])
    if match := _IN_MONTHS.fullmatch(text):
        return float(match[1]) / 12, float(match[1]) / 12
    if match := _DECADE.fullmatch(text):
        return float(match[1]), float(match[1]) + 9
    if match := _SPAN.fullmatch(text):
        return _span(match)
    for pattern, is_low, step in (
        (_FROM, True, 0), (_ABOVE, True, 1), (_UP_TO, False, 0), (_BELOW, False, -1),
    ):  # fmt: skip
        if match := pattern.fullmatch(text):
            edge = float(next(group for group in match.groups() if group)) + step
            return (edge, float(MAX_AGE_YEARS)) if is_low else _ordered(MIN_AGE_YEARS, edge)
    if match := _DAY_MONTH.fullmatch(text):
        return _of_date(int(match[1]), _month(match[2]))
    if match := _MONTH_DAY.fullmatch(text):
        return _of_date(int(match[2]), _month(match[1]))
    return None


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


def _month(name: str) -> int:
    return _MONTHS.index(name[:3].lower()) + 1


def _of_date(first: int, second: int) -> Range | None:
    """The range whose two numbers became a day and a month: the lower one came first."""
    return float(min(first, second)), float(max(first, second))


def dated_ranges(texts: Iterable[str]) -> dict[str, Range]:
    """Those texts that are whole dates and surely ranges which a spreadsheet made dates.

    It gives them the year in which they were typed, so all have one year, and ranges beside them
    that can be no date stayed ranges (20-29). Without these signs they may be birthdays. The first
    of a month may also be a range such as 10-40 (October 2040), so it is not certain.
    """
    dates = dict[str, tuple[str, Range | None]]()
    has_ranges = False
    for text in texts:
        match = next((m for p in _DATES if (m := p.fullmatch(text.strip()))), None)
        if match is None:
            span = read_age(text)
            has_ranges = has_ranges or (span is not None and span[0] < span[1])
            continue
        groups = match.groupdict()
        second = _month(groups["month"]) if groups.get("month") else int(groups["b"])
        first = int(groups["a"])
        certain = 1 not in (first, second) and max(first, second) <= 31
        dates[text] = groups["year"], _of_date(first, second) if certain else None
    years = {int(year) for year, _ in dates.values()}
    if not has_ranges or len(years) != 1 or min(years) < _FIRST_TYPED:
        return {}
    return {text: span for text, (_, span) in dates.items() if span}


def is_date(text: str) -> bool:
    """Whether a text that `read_age` reads is a range which a spreadsheet has made a date."""
    return bool(_DAY_MONTH.fullmatch(text.strip()) or _MONTH_DAY.fullmatch(text.strip()))


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
    dated = dated_ranges(known)
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
    kind = "ages_of_dates" if dated or is_date(text) else "ages_of_ranges"
    return ((low + high) / 2, low, high), kind


_SENTENCES: Mapping[str, Any] = {
    "ages_of_ranges": f"ages: {{count}} are ranges of at most {SPREAD_YEARS} years (the first: "
    "{first!r}), kept as such, with their middle",
    "ages_of_dates": "ages: {count} are ranges that a spreadsheet had made dates (the first: "
    "{first!r}), from the lower of day and month to the higher",
    "ages_of_wide_ranges": "ages: {count} are open ranges, or wider than "
    f"{SPREAD_YEARS} years (the first: {{first!r}}), kept as such; no one number stands for them",
    "ages_illegal": "ages: {count} are no age "
    f"from {MIN_AGE_YEARS} to {MAX_AGE_YEARS} (the first: {{first!r}}): null",
    "ages_empty": "ages: {count} are empty",
}
