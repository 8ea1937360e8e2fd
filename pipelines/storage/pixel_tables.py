"""A CSV that holds its pictures as numbers: square grey ones, a column `pixels` of 0 to 255.

So Kaggle's UTKFace (`age_gender.csv`) comes. A row's URI is `faces.csv#17`, its bytes are a BMP of
the numbers, which is the same everywhere: a PNG's depends on the zlib that made it.
"""

import contextlib
import csv
import io
import math
import zlib
from collections.abc import Iterator

import numpy as np
import pandas as pd
from PIL import Image

from model.errors import StorageError
from pipelines import storage
from pipelines.storage.entries import FileEntry, ReadFailure
from pipelines.storage.store_errors import as_os_errors

COLUMN = "pixels"
_UNIT_ROWS = 2_048  # read in one piece: what comes later costs reading what is before it
_HEADER_BYTES = 64 << 10


def is_pixel_table(uri: str) -> bool:
    """Whether a file is such a CSV, by its name and its header."""
    return uri.lower().endswith(".csv") and COLUMN in header_of(uri)


def header_of(uri: str) -> list[str]:
    """Names in the header of a CSV; none where it has no header that can be read."""
    head = storage.read_bytes(uri, 0, _HEADER_BYTES).partition(b"\n")[0]
    with contextlib.suppress(UnicodeDecodeError, csv.Error, StopIteration):
        return [name.strip() for name in next(csv.reader([head.decode("utf-8-sig").strip()]))]
    return []


def list_pixels(uri: str) -> Iterator[FileEntry]:
    """The pictures of such a CSV, one a row, whose ETag is the checksum of its text."""
    with contextlib.closing(ForwardPixels(uri)) as table:
        for row, line in enumerate(table.rows):
            etag = f"{zlib.crc32(','.join(line).encode()):08x}"
            yield FileEntry(f"{uri}#{row}", None, etag, row, f"{uri}#{row // _UNIT_ROWS}")


def labels_of(uri: str) -> pd.DataFrame:
    """Its other columns as text, all rows."""
    others = [name for name in header_of(uri) if name != COLUMN]
    with as_os_errors(uri), storage.open_reader(uri) as file:
        try:
            return pd.read_csv(
                file, usecols=others, dtype=str, keep_default_na=False, encoding="utf-8-sig"
            )
        except ValueError as error:
            raise StorageError(f"{uri} cannot be read as CSV: {error}") from None


class ForwardPixels:
    """The pictures of one file: forwards each is read once, to go back costs all before it."""

    def __init__(self, uri: str) -> None:
        """Open the file.

        Raises:
            StorageError: it has no such column any more.
        """
        self.uri, self.file = uri, None
        if not is_pixel_table(uri):
            raise StorageError(f"{uri} no longer has a column {COLUMN}")
        self.place, self.next = header_of(uri).index(COLUMN), 0
        self.rows = self._from_start()

    def _from_start(self) -> Iterator[list[str]]:
        self.close()
        self.next = 0
        self.file = io.TextIOWrapper(storage.open_reader(self.uri), "utf-8-sig", newline="")
        lines = csv.reader(self.file)
        next(lines, None)
        return (line for line in lines if line)

    def read(self, row: int) -> bytes:
        """The picture of a row, as a BMP.

        Raises:
            ReadFailure: there is none, or its numbers are no square of 0 to 255.
            OSError: the store fails.
        """
        with as_os_errors(self.uri):
            if row < self.next:
                self.rows = self._from_start()
            line = list[str]()
            try:
                while self.next <= row:
                    line = next(self.rows)
                    self.next += 1
            except StopIteration:
                text = f"{self.uri} no longer has row {row}"
                raise ReadFailure("not_found", text) from None
            except (UnicodeDecodeError, csv.Error) as error:
                raise ReadFailure("bad_member", f"{self.uri}#{row}: {error}") from None
        return _bmp(line[self.place] if len(line) > self.place else "", f"{self.uri}#{row}")

    def close(self) -> None:
        """Let the file go."""
        if self.file is not None:
            self.file.close()

    def __del__(self) -> None:
        """As a file does: a worker reads its last table until it ends."""
        self.close()


def _bmp(numbers: str, uri: str) -> bytes:
    try:
        values = np.array(numbers.split(), np.int64)
    except (ValueError, OverflowError):
        values = np.array([-1])
    side = math.isqrt(values.size)
    if not side or side * side != values.size or not 0 <= values.min() <= values.max() <= 255:
        text = f"{uri} holds {values.size:,} values, not a square of numbers from 0 to 255"
        raise ReadFailure("bad_member", text)
    file = io.BytesIO()
    Image.fromarray(values.astype(np.uint8).reshape(side, side)).save(file, "BMP")
    return file.getvalue()
