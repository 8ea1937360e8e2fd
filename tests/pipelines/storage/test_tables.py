"""Tables: whole files in and out, in name order, documented by their schema."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.errors import StorageError
from pipelines.manifests import manifest
from pipelines.storage import tables


def test_parts_of_a_folder_are_read_in_name_order(tmp_path: Path) -> None:
    for name, value in (("part-2", 3), ("part-0", 1), ("part-1", 2)):
        tables.write_table(f"{tmp_path}/{name}.parquet", pa.table({"n": [value]}))
    (tmp_path / "notes.txt").write_text("x")
    assert tables.read_table(str(tmp_path))["n"].to_pylist() == [1, 2, 3]


def test_metadata_is_written_beside_the_schemas_own(tmp_path: Path) -> None:
    uri = f"{tmp_path}/a.parquet"
    empty = manifest.MANIFEST_SCHEMA.empty_table()
    tables.write_table(uri, empty, {"bundle": "abc"})
    schema = pq.read_schema(uri)
    assert (schema.metadata or {})[b"bundle"] == b"abc"
    assert schema.field("age_years").metadata[b"unit"] == b"years"


def test_folder_without_parquet_is_refused(tmp_path: Path) -> None:
    message = f"{tmp_path} holds no Parquet file: check the path"
    with pytest.raises(StorageError, match=f"^{re.escape(message)}$"):
        tables.read_table(str(tmp_path))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    uri = f"{tmp_path}/none.parquet"
    with pytest.raises(StorageError, match=f"^{re.escape(uri)} does not exist$"):
        tables.read_table(uri)


def test_every_column_of_the_manifest_says_what_it_means() -> None:
    for column in (*manifest.MANIFEST_SCHEMA, *manifest.REJECTS_SCHEMA):
        assert column.metadata[b"meaning"]


def test_json_comes_back_as_plain_data(tmp_path: Path) -> None:
    tables.write_json(f"{tmp_path}/a.json", {"fractions": (0.6, 0.4), "name": "größe"})
    assert tables.read_json(f"{tmp_path}/a.json") == {"fractions": [0.6, 0.4], "name": "größe"}
    assert tables.plain({"a": (1, 2)}) == {"a": [1, 2]}
