"""A list of uris as images: .txt with one a line, or a column uri, url, path or image of a table.

They may be of the web, of any store, or local; a relative one lies beside the list.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from model.errors import StorageError
from pipelines import storage
from pipelines.storage.entries import FileEntry, is_web
from pipelines.storage.parquet_rows import open_parquet, picture_column

SUFFIXES = (".txt", ".csv", ".tsv")
COLUMNS = ("uri", "url", "image_url", "path", "image", "file")
_SEPARATORS = ",;\t|"
_SIGNED = re.compile(r"://[^/]*@|[?&](x-amz-\w+|x-goog-\w+|sig|signature|token)=", re.IGNORECASE)
_CODED = re.compile(r"data:image/|/9j/4|iVBORw0KGgo|UklGR")  # JPEG, PNG, WebP
_MOST_LETTERS = 4096  # Linux' longest path; a key of S3 has at most 1,024 bytes
_WEB = re.compile(r"https?://[^/\s]+", re.IGNORECASE)


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    types: Any = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_list_name(uri: str) -> bool:
    """Whether a file of this name is a list if it is given itself."""
    return uri.lower().endswith(SUFFIXES)


def list_uris(uri: str) -> Iterator[FileEntry]:
    """The inputs that a list names, in its order.

    Raises:
        StorageError: it is no such list; a line is no uri, or holds a credential; or a uri is named
            twice.
    """
    seen = set[int]()
    folder = uri.rpartition("/")[0]
    for number, text in enumerate(_lines(uri), 1):
        if not text:
            continue
        found = _checked(text, folder, f"{uri}, line {number}")
        if hash(found) in seen:
            raise StorageError(
                f"{uri}, line {number}: {found} is listed twice, and each input is one row: "
                "drop the duplicates"
            )
        seen.add(hash(found))
        yield FileEntry(found, None, None)


def _checked(text: str, folder: str, where: str) -> str:
    if _CODED.match(text):
        raise StorageError(
            f"{where} is an image in base64, not a uri: write its bytes to a binary column of a "
            "Parquet file"
        )
    if len(text) > _MOST_LETTERS:
        raise StorageError(f"{where} is not a uri: it has {len(text):,} characters")
    if _SIGNED.search(text):  # it would stand in every file of the output
        raise StorageError(
            f"{where} holds a credential or a signature, which would be written into the "
            "predictions: give addresses without one, or copy the images to a store"
        )
    if is_web(text):
        if not _WEB.match(text) or any(c.isspace() or not c.isprintable() for c in text):
            raise StorageError(f"{where}: {text[:200]!r} is not a web address")
        return text
    if "://" not in text and not text.startswith(("/", "~")):
        text = storage.join(folder, text)
    try:
        return storage.normalize(text)
    except StorageError as error:
        raise StorageError(f"{where}: {error}") from None


def _lines(uri: str) -> Iterable[str]:
    """The uri of each line; of a table, below its header."""
    if uri.lower().endswith(".parquet"):
        return _column(uri)
    try:
        text = storage.read_bytes(uri).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise StorageError(f"{uri} is not a list of uris: it is not UTF-8 text") from None
    if uri.lower().endswith(".txt"):
        return (line.strip() for line in text.splitlines())
    header = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        place = names.index(_column_of(uri, names))
        return [row[place].strip() if len(row) > place else "" for row in rows]
    except csv.Error as error:
        raise StorageError(f"{uri} cannot be read as CSV: line {rows.line_num}: {error}") from None


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
            yield from (str(value or "") for value in batch.column(0).to_pylist())


def _column_of(uri: str, names: list[str]) -> str:
    found = next((name for name in COLUMNS if name in names), None)
    if found is None:
        raise StorageError(
            f"{uri} has no column of uris: it has {', '.join(names)}; name it uri or url, or give "
            "a .txt with one uri per line"
        )
    return found
