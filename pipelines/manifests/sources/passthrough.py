"""Columns of a source that go into the predictions as they are, by name: `passthrough`."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from model.errors import UsageError
from pipelines import storage
from pipelines.storage.parquet_rows import columns_of, open_parquet, picture_column


def passthrough_schema(uri: str, schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """The columns `names` of a source's table.

    Raises:
        UsageError: it lacks one, or one is that of the pictures.
    """
    pictures = picture_column(uri, schema) if names else None
    others = [name for name in schema.names if name != pictures]
    for name in names:
        if name not in others:
            what = "holds its images" if name == pictures else "is none of its columns"
            raise UsageError(
                f"`passthrough` {name}: in {uri} this {what}; it has {', '.join(others) or 'none'}"
            )
    return pa.schema([pa.field(name, schema.field(name).type) for name in names])


def schema_below(uri: str, names: Sequence[str]) -> pa.Schema:
    """The columns `names` of the first Parquet file with pictures below `uri`.

    Raises:
        UsageError: there is none, or it lacks one.
    """
    if not names:
        return pa.schema([])
    for entry in storage.store_of(uri).files(uri, descend=True):
        if entry.uri.lower().endswith(".parquet"):
            with open_parquet(entry.uri) as file:
                if picture_column(entry.uri, file.schema_arrow) is not None:
                    return passthrough_schema(entry.uri, file.schema_arrow, names)
    raise no_columns(uri, names)


def no_columns(uri: str, names: Sequence[str]) -> UsageError:
    """What to say of a source without columns."""
    return UsageError(
        f"`passthrough` {','.join(names)}: {uri} has no columns; give Parquet with a column of "
        "images, or a `manifest` in Parquet"
    )


def with_passthrough(listed: pa.Table, schema: pa.Schema) -> pa.Table:
    """A part of a listing with the columns of each row of Parquet behind it, null elsewhere.

    Args:
        listed: with uri, offset and etag.
        schema: of the columns.

    Raises:
        UsageError: a file lacks one, or has another type there.
    """
    if not schema.names:
        return listed
    rows: list[dict[str, Any]] = listed.select(["uri", "offset", "etag"]).to_pylist()
    files = [storage.file_of(r["uri"]) if storage.is_row(r["uri"]) else "" for r in rows]
    pieces, start = list[pa.Table](), 0
    for end in range(1, len(rows) + 1):
        if end < len(rows) and files[end] == files[start]:
            continue
        if files[start]:
            table = _columns(files[start], rows[start]["etag"], schema)
            offsets: Any = pa.array([row["offset"] for row in rows[start:end]])
            pieces.append(table.take(offsets))
        else:
            nulls = [pa.nulls(end - start, field.type) for field in schema]
            pieces.append(pa.Table.from_arrays(nulls, schema=schema))
        start = end
    columns = pa.concat_tables(pieces) if pieces else schema.empty_table()
    for name in schema.names:
        listed = listed.append_column(schema.field(name), columns[name])
    return listed


def _columns(uri: str, etag: str | None, schema: pa.Schema) -> pa.Table:
    with open_parquet(uri) as file:
        passthrough_schema(uri, file.schema_arrow, schema.names)
    try:
        return columns_of(uri, etag, tuple(schema.names)).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UsageError(
            f"`passthrough`: {uri} has other types than its neighbours ({error})"
        ) from None
