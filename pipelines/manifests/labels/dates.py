"""Ranges of ages that a spreadsheet has made dates: 3-9 becomes 9-Mar, 2026-03-09 or 46090."""

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable

Range = tuple[float, float]  # inclusive, in completed years; one number twice where it is exact

# How names of months begin, without accents, in the languages that spreadsheets are used in:
# English, German, French, Spanish, Italian, Portuguese and Dutch.
_MONTHS: tuple[str, ...] = (
    "jan gen ene", "feb fev", "mar mrz mrt", "apr avr abr", "may mai mei mag", "juin jun giu",
    "juil jul lug", "aug aou ago", "sep set", "oct okt ott out", "nov", "dec dez dic",
)  # fmt: skip
_NUMBERS = {name: k + 1 for k, names in enumerate(_MONTHS) for name in names.split()}
_MONTH = rf"(?P<month>{'|'.join(_NUMBERS)})[a-z]*\.?"
# What a spreadsheet shows of 3-9: a day and a month, whose order depends on its language.
_SHORT = (
    re.compile(rf"(?P<a>\d{{1,2}})\.?[\s.-]*{_MONTH}"),
    re.compile(rf"{_MONTH}[\s-]*(?P<a>\d{{1,2}})"),
)
_WHOLE = (
    re.compile(r"(?P<year>\d{4})[-/.](?P<a>\d{1,2})[-/.](?P<b>\d{1,2})(?:[ t][0:.]+z?)?"),
    re.compile(r"(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<year>\d{4})(?: [0:.]+)?"),
    re.compile(rf"(?P<a>\d{{1,2}})[\s.-]*{_MONTH}[\s.,-]*(?P<year>\d{{4}})"),
)
# Days since then: what a cell holds behind its date, and shows where its format was lost.
_SERIAL, _FIRST_DAY = re.compile(r"[3-6]\d{4}"), dt.date(1899, 12, 30)
_FIRST_TYPED = 2000  # a labels file with dates of an earlier year holds birthdays


def day_and_month(text: str) -> Range | None:
    """The range that a day and a month were; None for another text."""
    plain = _plain(text)
    match = next((m for p in _SHORT if (m := p.fullmatch(plain))), None)
    return match and _range(int(match["a"]), _NUMBERS[match["month"]])


def whole(texts: Iterable[str], has_ranges: bool) -> dict[str, Range]:
    """Those texts that are whole dates and surely ranges which a spreadsheet made dates.

    It gives them the year in which they were typed, so all have one year, and ranges beside them
    that can be no date stayed ranges (20-29). Without these signs they may be birthdays. The first
    of a month may also be a range such as 10-40 (October 2040), so it is not certain.

    Args:
        texts: of the column.
        has_ranges: whether ranges of ages are among them.
    """
    dates = dict[str, tuple[int, Range | None]]()
    for text in texts:
        date = _date(_plain(text))
        if date is not None:
            year, first, second = date
            certain = 1 not in (first, second) and max(first, second) <= 31
            dates[text] = year, _range(first, second) if certain else None
    years = {year for year, _ in dates.values()}
    if not has_ranges or len(years) != 1 or min(years) < _FIRST_TYPED:
        return {}
    return {text: span for text, (_, span) in dates.items() if span}


def _date(text: str) -> tuple[int, int, int] | None:
    """(year, one of day and month, the other)."""
    if _SERIAL.fullmatch(text):
        day = _FIRST_DAY + dt.timedelta(days=int(text))
        return day.year, day.day, day.month
    match = next((m for p in _WHOLE if (m := p.fullmatch(text))), None)
    if match is None:
        return None
    groups = match.groupdict()
    second = _NUMBERS[groups["month"]] if groups.get("month") else int(groups["b"])
    return int(groups["year"]), int(groups["a"]), second


def _plain(text: str) -> str:
    """Small letters without accents."""
    split = unicodedata.normalize("NFKD", text.strip().lower())
    return "".join(letter for letter in split if not unicodedata.combining(letter))


def _range(first: int, second: int) -> Range:
    """The range whose two numbers became a day and a month: the lower one came first."""
    return float(min(first, second)), float(max(first, second))
