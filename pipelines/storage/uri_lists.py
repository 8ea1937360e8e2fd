"""A list of uris as images: .txt with one a line, or a column uri, url, path or image of a table.

They may be of the web, of any store, or local; a relative one lies beside the list. A line that is
no uri is an input like any other: reading it says what is wrong (`why_no_uri`).
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from model.errors import StorageError
from pipelines import storage
from pipelines.storage import text_tables
from pipelines.storage.entries import FileEntry, is_web
from pipelines.storage.parquet_rows import open_parquet, picture_column

SUFFIXES = (".txt", ".csv", ".tsv")
COLUMNS = ("uri", "url", "image_url", "path", "image", "file")
EMPTY, REPEATED, NO_URI = "empty", "name an image again", "are no uri (bad_uri)"
LEFT_OUT = (EMPTY, REPEATED)  # lines that are no input
_SIGNED = re.compile(
    r"^(?!abfss?:|wasbs?:)(\w+)://[^/]*@"
    r"|[?&](\w*secret\w*|\w*access_?key\w*|x-amz-\w+|x-goog-\w+|sig|signature|token)=",
    re.IGNORECASE,
)
_REDACTED = re.compile(r"://\*\*\*@|\?signature=\*\*\*$")
_CODED = re.compile(r"data:image/|/9j/4|iVBORw0KGgo|UklGR")  # JPEG, PNG, WebP
_MOST_LETTERS = 4096  # Linux' longest path; a key of S3 has at most 1,024 bytes
_SHOWN_LETTERS = 60
_CUT = re.compile(rf".{{{_SHOWN_LETTERS}}}…[0-9a-f]{{8}}", re.DOTALL)


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    types: Any = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_list_name(uri: str) -> bool:
    """Whether a file of this name is a list if it is given itself."""
    return uri.lower().endswith(SUFFIXES)


def list_uris(uri: str, lines: Counter[str]) -> Iterator[FileEntry]:
    """The inputs that a list names, in its order.

    Args:
        uri: of the list.
        lines: counts those that are `EMPTY`, `REPEATED` or `NO_URI`.

    Raises:
        StorageError: it is no such list, or none of its lines is a uri.
    """
    seen, folder = set[int](), uri.rpartition("/")[0]
    wrong = list[FileEntry]()  # until there is a line that is right
    first, is_list = "", False
    for number, text in enumerate(_lines(uri), 1):
        found = _shown(text, folder)
        if not found or hash(found) in seen:
            lines[REPEATED if found else EMPTY] += 1
            continue
        seen.add(hash(found))
        entry = FileEntry(found, None, None)
        if why := why_no_uri(found):
            lines[NO_URI] += 1
            first = first or f"{uri}, line {number}: {why}"
            if not is_list:
                wrong.append(entry)
                continue
        elif not is_list:
            is_list = True
            yield from wrong
        yield entry
    if not is_list:
        raise StorageError(first or f"{uri} names no image: write a uri into each line")


def _shown(text: str, folder: str) -> str:
    """A line as the uri of an input: made absolute, and without what no output may hold."""
    if len(text) > _MOST_LETTERS or _CODED.match(text):
        return f"{text[:_SHOWN_LETTERS]:_<{_SHOWN_LETTERS}}…{zlib.crc32(text.encode()):08x}"
    if found := _SIGNED.search(text):
        address = re.sub("://[^/]*@", "://***@", text.partition("?")[0])
        return address if found[1] else f"{address}?signature=***"
    if is_web(text):
        return text.replace(" ", "%20")
    if text and "://" not in text and not text.startswith(("/", "~")):
        text = storage.join(folder, text)
    try:
        return storage.normalize(text)
    except StorageError:
        return text


def why_no_uri(uri: str) -> str | None:
    """Why an input that a list named cannot be one; None for any that can."""
    if _CUT.fullmatch(uri):
        if _CODED.match(uri):
            return "it is an image in base64: write its bytes to a binary column of a Parquet file"
        return f"it is no uri: it has more than {_MOST_LETTERS:,} characters"
    if _REDACTED.search(uri):
        return (
            "it holds a credential or a signature, which would be written into the output: give "
            "an address without one, or copy the image to a store"
        )
    if "\0" in uri:
        return "it holds a zero byte"
    if is_web(uri):
        try:
            is_address = bool(urlsplit(uri).hostname)
        except ValueError:
            is_address = False
        if is_address and all(letter.isprintable() and not letter.isspace() for letter in uri):
            return None
        return f"{uri[:200]!r} is no address of the web"
    if "://" in uri and (storage.is_local(uri) or not storage.split_bucket(uri)[0]):
        try:
            storage.normalize(uri)
        except StorageError as error:
            return str(error)
    return None


def _lines(uri: str) -> Iterable[str]:
    """The uri of each line; of a table, below its header."""
    if uri.lower().endswith(".parquet"):
        return _column(uri)
    data = storage.read_bytes(uri)
    if uri.lower().endswith(".txt"):
        return (line.strip() for line in text_tables.decoded(data, uri).splitlines())
    table, _ = text_tables.read_text_table(data, uri, COLUMNS, "whole")
    table.columns = [str(name).lower() for name in table.columns]
    return (str(text).strip() for text in table[_column_of(uri, list(table.columns))])


def is_parquet_list(uri: str) -> bool:
    """Whether a Parquet file names pictures and holds none."""
    with open_parquet(uri) as file:
        names = [name.lower() for name in file.schema_arrow.names]
        return picture_column(uri, file.schema_arrow) is None and bool({*COLUMNS} & {*names})


def _column(uri: str) -> Iterator[str]:
    with open_parquet(uri) as file:
        names = {name.lower(): name for name in file.schema_arrow.names}
        column = names[_column_of(uri, list(names))]
        kind: Any = file.schema_arrow.field(column).type
        if not _is_text(kind):
            raise StorageError(
                f"{uri}: its column {column} has type {kind}: images must be binary, uris "
                "must be strings"
            )
        for batch in file.iter_batches(columns=[column]):
            yield from (str(value or "").strip() for value in batch.column(0).to_pylist())


def _column_of(uri: str, names: list[str]) -> str:
    found = next((name for name in COLUMNS if name in names), None)
    if found is None:
        raise StorageError(
            f"{uri} has no column of uris: it has {', '.join(names)}; name it uri or url, or give "
            "a .txt with one uri per line"
        )
    return found
