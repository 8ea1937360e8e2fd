"""Tables as text: CSV and its kin, whatever separates the columns, all values as they stand there.

No value becomes a number, a date or a null by guess: 000123 stays 000123.
"""

import codecs
import csv
import io
from collections.abc import Collection, Iterator

import pandas as pd

from model.errors import ManifestError

SUFFIXES = (".csv", ".tsv", ".txt")
_SEPARATORS = (",", "\t", ";", "|", " ")
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "spaces"}
_BOMS = (  # the longer ones first: that of UTF-32 begins like that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


def read_text_table(data: bytes, uri: str, wanted: Collection[str]) -> tuple[pd.DataFrame, str]:
    """A table with a header line, every value as text.

    Args:
        data: the file, in UTF-8 or UTF-16.
        uri: of the file, for messages.
        wanted: columns by which its separator is known.

    Returns:
        The table, empty texts where a line has fewer values than the header, and the separator.

    Raises:
        ManifestError: it is no such file, or a line has more values than the header.
    """
    text = _text(data, uri)
    separator, text = _separator(text, wanted)
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True,
        skipinitialspace=separator == " ",
    )  # fmt: skip
    try:
        rows = (row for row in lines if any(row))
        header = [name.strip() for name in next(rows, [])]
        while header and not header[-1]:  # a separator at the end of every line
            header.pop()
        if len(set(header)) < len(header):
            raise ManifestError(f"`labels` {uri} has two columns of one name: {', '.join(header)}")
        values = [_fitted(row, len(header), lines.line_num, uri) for row in rows]
    except csv.Error as error:
        raise ManifestError(
            f"`labels` {uri} cannot be read as CSV: line {lines.line_num}: {error}"
        ) from None
    return pd.DataFrame(values, columns=header, dtype=object), separator


def _text(data: bytes, uri: str) -> str:
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), None)
    if encoding is None:  # UTF-16 without its mark: the header's letters have a zero beside them
        zeros = [data[start:200:2].count(0) for start in (0, 1)]
        half = len(data[:200]) // 2
        encoding = "utf-8"
        if half and max(zeros) > 0.9 * half > min(zeros):
            encoding = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"`labels` {uri} cannot be read as UTF-8 or UTF-16 text ({error}): save it as UTF-8"
        ) from None
    if "\0" in text:
        raise ManifestError(f"`labels` {uri} cannot be read as text: it holds zero bytes")
    return text.lstrip("\r\n")


def _separator(text: str, wanted: Collection[str]) -> tuple[str, str]:
    """What separates the columns, by the header, and the text without a line that says so."""
    first, _, rest = text.partition("\n")
    declared = first.strip().lower().removeprefix("sep=")  # Excel's own line
    if len(declared) == 1 and first.strip().lower() != declared:
        return declared, rest
    header = first.strip("\r")

    def fit(separator: str) -> tuple[int, int]:
        names = {name.strip().strip('"').lower() for name in header.split(separator)}
        return len(names & set(wanted)), len(names) if separator != " " else 0

    return max(_SEPARATORS, key=fit), text


def _fitted(row: list[str], width: int, line: int, uri: str) -> list[str]:
    """A line's values, as many as there are columns.

    Raises:
        ManifestError: it has more that are not empty: moved columns would be wrong labels.
    """
    if any(row[width:]):
        raise ManifestError(
            f"`labels` {uri} cannot be read as CSV: line {line} has {len(row)} values, the header "
            f"names {width}: put values that hold the separator into quotes"
        )
    return [*row[:width], *[""] * (width - len(row))]


def separated_by(separator: str) -> str:
    """`tabs`, for people."""
    return _NAMES.get(separator, repr(separator))


def texts_of(column: pd.Series) -> pd.Series:
    """A column of any type as text, empty where it is null."""

    def text(value: object) -> str:
        return "" if value is None or value != value else str(value)

    return pd.Series([text(value) for value in _plain(column)], index=column.index, dtype=object)


def _plain(column: pd.Series) -> Iterator[object]:
    for value in column.astype(object):
        yield None if value is pd.NA or value is pd.NaT else value
