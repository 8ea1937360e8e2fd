"""Pictures in Parquet: a column of bytes, or of {bytes, path} as Hugging Face has it.

A row's URI is `faces.parquet#17`. Which column holds the pictures is told by the schema alone, so
whoever reads the file finds the same one.
"""

import contextlib
import functools
from collections.abc import Generator, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from model.errors import StorageError
from pipelines import storage
from pipelines.storage.entries import FileEntry, ReadFailure
from pipelines.storage.store_errors import as_os_errors

# Where several columns hold bytes, the first of these is the pictures'.
_NAMES = ("image", "img", "picture", "photo", "face", "jpg", "jpeg", "png", "webp", "bytes")
# A row group is read from its start, so a large one is read in few pieces, each a shard or more.
_PIECE_ROWS, _MOST_PIECES = 2_048, 16
_BATCH_ROWS = 64  # held at once: as many pictures as a batch of scoring
_BUFFER = 1 << 20


@contextlib.contextmanager
def open_parquet(uri: str) -> Generator[pq.ParquetFile]:
    """A Parquet file to read parts of, a megabyte at a time.

    Raises:
        StorageError: it is none, or damaged.
    """
    with as_os_errors(uri), storage.open_reader(uri) as reader:
        try:
            file = pq.ParquetFile(reader, buffer_size=_BUFFER, pre_buffer=False)
        except (pa.ArrowException, OSError, UnicodeError) as error:
            if isinstance(error, FileNotFoundError) or getattr(error, "errno", None):
                raise  # the store's, not the decoder's
            raise StorageError(f"{uri} is not a whole Parquet file: {error}") from None
        yield file


def picture_column(uri: str, schema: pa.Schema) -> str | None:
    """The column that holds pictures, None where there is none.

    Raises:
        StorageError: there are several, and their names do not tell.
    """
    columns = [field.name for field in schema if _holds_bytes(field.type)]
    if len(columns) < 2:
        return next(iter(columns), None)
    named = [name for name in _NAMES if name in columns]
    if not named:
        raise StorageError(
            f"{uri} has several columns of bytes ({', '.join(columns)}): name the one with "
            "the images image, or leave the others out"
        )
    return named[0]


def _holds_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" and _holds_bytes(kind.field(i).type)
                   for i in range(kind.num_fields))  # fmt: skip
    if pa.types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    types: Any = pa.types
    binary = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    return binary or types.is_fixed_size_binary(kind)


def list_rows(file: FileEntry) -> Iterator[FileEntry]:
    """The pictures in a Parquet file, or the file itself where it has no column of them.

    Raises:
        StorageError: it is damaged, or which column holds the pictures is not clear.
    """
    with open_parquet(file.uri) as parquet:
        if picture_column(file.uri, parquet.schema_arrow) is None:
            yield file
            return
        row = 0
        for group in range(parquet.num_row_groups):
            rows = parquet.metadata.row_group(group).num_rows
            piece = max(_PIECE_ROWS, -(-rows // _MOST_PIECES))
            for place in range(rows):
                unit = f"{file.uri}#{group}.{place // piece}"
                yield FileEntry(f"{file.uri}#{row}", None, file.etag, row, unit)
                row += 1


class ForwardRows:
    """The pictures of one file: forwards each is read once, to go back costs a row group."""

    def __init__(self, uri: str) -> None:
        """Open the file.

        Raises:
            StorageError: it is none, or holds no pictures.
        """
        self._stack = contextlib.ExitStack()
        self.uri, self.file = uri, self._stack.enter_context(open_parquet(uri))
        column = picture_column(uri, self.file.schema_arrow)
        if column is None:
            self.close()
            raise StorageError(f"{uri} no longer has a column of images")
        self.column = column
        groups = range(self.file.num_row_groups)
        sizes = [self.file.metadata.row_group(group).num_rows for group in groups]
        self.starts = [sum(sizes[:group]) for group in range(len(sizes) + 1)]
        self.batches: Iterator[Any] = iter(())
        self.first, self.group, self.held = 0, -1, pa.array([])
        self.damage = ""  # of the row group, behind the rows that are held

    def read(self, row: int) -> bytes:
        """The picture of a row.

        Raises:
            ReadFailure: there is none, or the file is damaged there.
            OSError: the store fails.
        """
        with as_os_errors(self.uri):
            try:
                value = self._value(row)
            except FileNotFoundError:
                raise
            except (pa.ArrowException, OSError, UnicodeError) as error:
                if getattr(error, "errno", None) is not None:  # the disk's, not the decoder's
                    raise
                self.damage = str(error).partition("\n")[0]
                value = self._value(row)
        data = value
        if isinstance(value, pa.StructScalar) and value.is_valid:
            data = value["bytes"]
        if data.is_valid:
            return data.as_py()
        with contextlib.suppress(KeyError, UnicodeError):
            if value.is_valid and (path := value["path"].as_py()):
                text = f"{self.uri}#{row} holds no bytes, only the path {path}"
                raise ReadFailure("not_found", text)
        raise ReadFailure("not_found", f"{self.uri}#{row} is null")

    def _value(self, row: int) -> Any:
        """The scalar of a row."""
        if row >= self.starts[-1]:
            raise ReadFailure("not_found", f"{self.uri} no longer has row {row}")
        group = next(g for g in range(len(self.starts)) if row < self.starts[g + 1])
        if group != self.group or row < self.first:
            self.group, self.first = group, self.starts[group]
            self.held, self.damage = pa.array([]), ""
            self.batches = self.file.iter_batches(_BATCH_ROWS, [group], [self.column])
        while row >= self.first + len(self.held):
            if self.damage:
                raise ReadFailure("bad_member", f"{self.uri}#{row} cannot be read: {self.damage}")
            batch = next(self.batches)
            self.first += len(self.held)
            self.held = batch.column(0)
        return self.held[row - self.first]

    def close(self) -> None:
        """Let the file go."""
        self._stack.close()


@functools.lru_cache(maxsize=1)
def columns_of(uri: str, etag: str | None, names: tuple[str, ...]) -> pa.Table:
    """Other columns of a file, all rows; of the last file asked for they are kept.

    Raises:
        StorageError: it is damaged.
    """
    del etag  # part of the cache's key: a file that was replaced is read again
    with open_parquet(uri) as parquet:
        return parquet.read(list(names))
