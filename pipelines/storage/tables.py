"""Parquet in and out of a URI: whole files, bytes built in memory, put at once."""

import contextlib
import hashlib
import io
import itertools
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from model.errors import StorageError
from pipelines import storage


def field(name: str, kind: pa.DataType, meaning: str, unit: str = "") -> "pa.Field[Any]":
    """A column with its meaning and unit as metadata, from which the docs are generated."""
    metadata = {"meaning": meaning} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, metadata=metadata)


def write_table(uri: str, table: pa.Table, metadata: Mapping[str, str] | None = None) -> str:
    """Write one Parquet file in one go (zstd); `metadata` goes beside the schema's own.

    A table stream inside `open_output_stream` would commit a truncated object on an error.

    Returns:
        The SHA-256 of the file, hex.
    """
    data = encode_table(table, metadata)
    storage.write_bytes(uri, data)
    return hashlib.sha256(data).hexdigest()


def encode_table(table: pa.Table, metadata: Mapping[str, str] | None = None) -> bytes:
    """A table as the bytes of a Parquet file (zstd)."""
    sink = pa.BufferOutputStream()
    named = table.replace_schema_metadata(_merged(table.schema, metadata))
    pq.write_table(named, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def write_pieces(
    path: Path, pieces: Iterable[pa.Table], metadata: Mapping[str, str], row_group_rows: int
) -> int:
    """Write tables of one schema, one after the other, as one Parquet file (zstd) on this machine.

    Args:
        path: of the file.
        pieces: of which so many are held at once as make a row group; at least one.
        metadata: beside the schema's own.
        row_group_rows: in each row group but the last.

    Returns:
        How many rows it has.
    """
    groups = _grouped(pieces, row_group_rows)
    first = next(groups)
    schema = first.schema.with_metadata(_merged(first.schema, metadata))
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in itertools.chain([first], groups):
            writer.write_table(group.cast(schema), row_group_size=row_group_rows)
            rows += group.num_rows
    return rows


def _grouped(pieces: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of `rows`, the last one smaller; if there are none, one of none."""
    held = list[pa.Table]()
    for piece in pieces:
        held.append(piece)
        while sum(table.num_rows for table in held) > rows:
            whole = pa.concat_tables(held).unify_dictionaries()
            yield whole.slice(0, rows)
            held = [whole.slice(rows)]
    yield pa.concat_tables(held).unify_dictionaries()


def _merged(schema: pa.Schema, metadata: Mapping[str, str] | None) -> dict[bytes, bytes]:
    more = {key.encode(): value.encode() for key, value in (metadata or {}).items()}
    return {**(schema.metadata or {}), **more}


def read_table(uri: str, columns: list[str] | None = None) -> pa.Table:
    """One Parquet file, or all the Parquet files of a folder in name order.

    Raises:
        StorageError: there is no Parquet file, or one is damaged.
    """
    uris = [uri] if uri.endswith(".parquet") else list_parquet(uri)
    if not uris:
        raise StorageError(f"{uri} holds no Parquet file: check the path")
    tables: list[pa.Table] = []
    for one in uris:
        try:
            data = storage.read_bytes(one)
        except FileNotFoundError as error:
            raise StorageError(str(error)) from None
        tables.append(decode_table(one, data, columns))
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise StorageError(f"{uri} holds files of different columns: {error}") from None


def decode_table(uri: str, data: bytes, columns: list[str] | None = None) -> pa.Table:
    """The table of a Parquet file's bytes; `uri` is for messages.

    Raises:
        StorageError: they are damaged.
    """
    with damage_told(uri):
        table = pq.read_table(io.BytesIO(data), columns=columns)
        table.validate(full=True)  # text that is none, an index beyond its dictionary
        return table


@contextlib.contextmanager
def damage_told(uri: str) -> Generator[None]:
    """Say of bytes that are in memory already, and no Parquet, which file they are.

    Raises:
        StorageError: in place of pyarrow's many errors; of which OSError is one, though no store
            has failed.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError, OverflowError) as error:
        first = (str(error).splitlines() or [""])[0][:200]
        raise StorageError(f"{uri} is not a whole Parquet file: {first}") from None


def list_parquet(uri: str) -> list[str]:
    """URIs of the Parquet files below `uri`, sorted."""
    uris = (entry.uri for entry in storage.store_of(uri).files(uri, descend=True))
    return sorted(name for name in uris if name.endswith(".parquet"))


def read_json(uri: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        FileNotFoundError: it is not there.
        StorageError: it is damaged.
    """
    data = storage.read_bytes(uri)
    try:
        record: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{uri} is damaged ({str(error)[:200]}): copy it again") from None
    if not isinstance(record, dict):
        raise StorageError(f"{uri} is damaged (no JSON object): copy it again")
    return record  # pyright: ignore[reportUnknownVariableType]


def require_known(uri: str, record: Mapping[str, Any], newest: int) -> Mapping[str, Any]:
    """The record, unless its `format` is newer than what this facemill writes.

    Args:
        uri: for the message.
        record: a JSON object that facemill wrote; without a format it is of the first.
        newest: format that is known.

    Raises:
        StorageError: it is newer.
    """
    found = record.get("format", 1)
    if not isinstance(found, int) or found > newest:
        raise StorageError(
            f"{uri} was written by a newer facemill (format {found!r}, known are 1 to {newest}): "
            "update this checkout"
        )
    return record


@contextlib.contextmanager
def record_read(uri: str) -> Generator[None]:
    """Say of a JSON object that lacks a key, or has another kind of value there, which file it is.

    Raises:
        StorageError: in place of KeyError, TypeError, ValueError and AttributeError.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        text = f"{type(error).__name__}: {str(error)[:200]}"
        raise StorageError(f"{uri} is damaged, or not a file of facemill ({text})") from None


def write_json(uri: str, data: Mapping[str, Any]) -> None:
    """A JSON object, indented, put in place at once."""
    storage.write_bytes(uri, (json.dumps(data, indent=2, default=str) + "\n").encode())


def concat(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """Tables of one schema end to end; an empty table if there are none."""
    collected = list(tables)
    return pa.concat_tables(collected) if collected else schema.empty_table()


def plain(value: Any) -> Any:
    """A value as JSON would give it back (tuples become lists)."""
    return json.loads(json.dumps(value, default=str))
