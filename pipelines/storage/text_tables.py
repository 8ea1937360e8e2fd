"""Tables as text: CSV and its kin, whatever separates the columns, all values as they stand there.

No value becomes a number, a date or a null by guess: 000123 stays 000123.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Collection
from typing import Literal

import pandas as pd

from model.errors import StorageError
from pipelines.telemetry.log import note

SUFFIXES = (".csv", ".tsv", ".txt")
_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "spaces"}
_BOMS = (  # the longer ones first: that of UTF-32 begins like that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
# What older programs of Western Europe and America write: Latin-1, and a few letters more. What
# charset-normalizer finds in a few names is wrong more often than right: `Müller.jpg` is big5.
_OLD_ENCODING = "cp1252"
_MAX_UNPACKED = 8 << 30
_SPARE_COLUMNS = 64  # separators that a line may have at its end


def read_text_table(
    data: bytes,
    uri: str,
    wanted: Collection[str],
    long_lines: Literal["refused", "whole"] = "refused",
) -> tuple[pd.DataFrame, str]:
    """A table with a header line, every value as text.

    Args:
        data: the file; a .gz is unpacked.
        uri: of the file, for messages.
        wanted: columns by which its separator is known.
        long_lines: what becomes of a line with more values than the header has names; `whole`: each
            of its values is the text of the line.

    Returns:
        The table, empty texts where a line has fewer values than the header, and the separator.

    Raises:
        StorageError: it is no such file, or a line is too long.
    """
    separator, text = _separator(decoded(data, uri), wanted)
    lines = io.StringIO(text)
    width = 1 + max((line.count(separator) for line in lines), default=0)
    most = text.partition("\n")[0].count(separator) + _SPARE_COLUMNS
    try:
        # The header is a row like any other: a longer line has values in columns without a name.
        rows = pd.read_csv(
            io.StringIO(text), sep=separator, header=None, names=range(min(width, most)), dtype=str,
            keep_default_na=False, skipinitialspace=separator == " ",
        )  # fmt: skip
    except (ValueError, OverflowError) as error:  # ParserError is one
        why = " ".join(str(error).removeprefix("Error tokenizing data. C error: ").split())
        raise StorageError(
            f"{uri} cannot be read as CSV ({why}): put values that hold the separator into quotes"
        ) from None
    if rows.empty:
        return pd.DataFrame(), separator
    header = [name.strip() for name in rows.iloc[0]]
    named = [place for place, name in enumerate(header) if name]  # others: a separator at line ends
    if len({header[place] for place in named}) < len(named):
        raise StorageError(f"{uri} has two columns of one name: {', '.join(header)}")
    is_moved = (rows.drop(columns=named) != "").any(axis=1)
    if is_moved.any() and long_lines == "whole":
        lines = rows[is_moved].agg(separator.join, axis=1).str.rstrip(separator)
        for place in named:
            rows.loc[is_moved, place] = lines
    elif is_moved.any():
        first = rows[is_moved].iloc[0]
        raise StorageError(
            f"{uri} cannot be read as CSV: the line that begins {first[0][:60]!r} has more values "
            f"than the {len(named)} of the header: put values that hold the separator into quotes"
        )
    table = rows.iloc[1:, named].set_axis([header[place] for place in named], axis=1)
    return table[(table != "").any(axis=1)].astype(object).reset_index(drop=True), separator


def decoded(data: bytes, uri: str) -> str:
    """The text of a file, in UTF-8, UTF-16 or UTF-32, else in Windows-1252, which is noted.

    Args:
        data: the file; a .gz is unpacked.
        uri: of the file.

    Raises:
        StorageError: it is no text, or a damaged .gz.
    """
    if uri.lower().endswith(".gz"):
        data = _unpacked(data, uri)
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
        try:
            text = data.decode(_OLD_ENCODING)
        except UnicodeDecodeError:
            raise StorageError(
                f"{uri} cannot be read as text in UTF-8 or UTF-16 ({error}): save it as UTF-8"
            ) from None
        note(f"note: {uri} is not in UTF-8 and is read as Windows-1252 (Latin-1)")
    if "\0" in text:
        raise StorageError(f"{uri} cannot be read as text: it holds zero bytes")
    return text.lstrip("\r\n")


def _unpacked(data: bytes, uri: str) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as file:
            plain = file.read(_MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise StorageError(f"{uri} is not a whole .gz ({error}): copy it again") from None
    if len(plain) > _MAX_UNPACKED:
        raise StorageError(f"{uri} unpacks to more than {_MAX_UNPACKED:,} bytes: split it")
    return plain


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


def separated_by(separator: str) -> str:
    """`tabs`, for people."""
    return _SEPARATORS.get(separator, repr(separator))


def texts_of(column: pd.Series) -> pd.Series:
    """A column of any type as text, empty where it is null."""
    values = column.astype(object)
    return values.map(str, na_action="ignore").where(values.notna(), "").astype(object)
