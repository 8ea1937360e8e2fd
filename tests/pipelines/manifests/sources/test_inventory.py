"""An S3 Inventory report as the list of what to score."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from model.errors import ManifestError
from pipelines.manifests.sources import open_source
from pipelines.manifests.sources.inventory import inventory_uri, is_inventory, read_inventory
from pipelines.storage import tables


def report(folder: Path, *parts: pa.Table, **changes: Any) -> str:
    names = [f"reports/faces/daily/data/{i}.parquet" for i in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        tables.write_table(f"{folder}/{Path(name).name}", part)
    record: dict[str, Any] = {
        "sourceBucket": "faces",
        "destinationBucket": "arn:aws:s3:::reports",
        "version": "2016-11-30",
        "fileFormat": "Parquet",
        "files": [{"key": name, "size": 1, "MD5checksum": ""} for name in names],
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps(record | changes))
    return str(path)


def objects(*keys: str, **columns: list[Any]) -> pa.Table:
    size = list(range(1, len(keys) + 1))
    return pa.table({"bucket": ["faces"] * len(keys), "key": list(keys), "size": size, **columns})


def test_every_current_object_is_one_input(tmp_path: Path) -> None:
    first = objects("a/1.jpg", "a/ü %41+.jpg", e_tag=['"e1"', "e2"])
    uri = report(tmp_path, first, objects("b/3.jpg", e_tag=["e3"]))
    assert is_inventory(uri)
    rows = pa.concat_tables(read_inventory(uri)).to_pylist()
    assert rows == [
        {"uri": "s3://faces/a/1.jpg", "bytes": 1, "etag": "e1"},
        {"uri": "s3://faces/a/ü %41+.jpg", "bytes": 2, "etag": "e2"},
        {"uri": "s3://faces/b/3.jpg", "bytes": 1, "etag": "e3"},
    ]


def test_the_reports_of_one_inventory_share_a_name() -> None:
    one = inventory_uri("s3://reports/faces/daily/2026-11-02T01-00Z/manifest.json")
    assert one == inventory_uri("s3://reports/faces/daily/2026-11-09T01-00Z/manifest.json")
    assert one == "s3://reports/faces/daily"
    for other in ("s3://b/manifests/manifest.json", "/faces/list.parquet", "s3://b/faces"):
        assert inventory_uri(other) == other


def test_old_versions_delete_markers_and_folders_are_no_inputs(tmp_path: Path) -> None:
    rows = objects(
        "old.jpg", "gone.jpg", "folder/", "kept.jpg",
        is_latest=[False, True, True, True], is_delete_marker=[False, True, False, None],
    )  # fmt: skip
    found = pa.concat_tables(read_inventory(report(tmp_path, rows)))
    assert found["uri"].to_pylist() == ["s3://faces/kept.jpg"]


def test_scoring_takes_an_inventory_for_a_manifest(tmp_path: Path) -> None:
    uri = report(tmp_path, objects("a.jpg", "b.jpg"))
    source = open_source((), uri)
    assert [part.num_rows for part in source.parts()] == [2]
    assert (source.by_name, source.identity()) == (False, {"manifest": inventory_uri(uri)})


def test_our_own_manifest_json_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"files": 3, "fingerprint": "abc"}')
    assert not is_inventory(str(tmp_path / "manifest.json"))
    assert not is_inventory(str(tmp_path))


def test_another_file_format_is_refused_in_a_sentence(tmp_path: Path) -> None:
    uri = report(tmp_path, fileFormat="ORC")
    with pytest.raises(ManifestError, match="an inventory in ORC: let S3 write it as Apache Par"):
        list(read_inventory(uri))


def test_a_data_file_without_keys_is_refused(tmp_path: Path) -> None:
    uri = report(tmp_path, pa.table({"name": ["a"]}))
    with pytest.raises(ManifestError, match="lacks the column bucket, key"):
        list(read_inventory(uri))
