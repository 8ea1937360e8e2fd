"""The layout for analysts: whole, partitioned, readable by everybody's tools."""

import json
import os
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from model.errors import FacemillError, UsageError
from pipelines.predictions import dataset, layout
from pipelines.predictions.dataset import Partitioning, write_dataset
from pipelines.storage import tables, writes
from tests.predictions import random_predictions, write_predictions


def run_of(folder: Path, *parts: pa.Table, finished_at: str = "2026-11-24T00:00:00Z") -> str:
    output = write_predictions(folder, *parts)
    files = {
        f"predictions/shard-{number:05d}.parquet": {"rows": part.num_rows, "sha256": ""}
        for number, part in enumerate(parts)
    }
    run = {"finished_at": finished_at, "bundle_id": "0123456789abcdef", "files": files}
    tables.write_json(f"{output}/run.json", run | {"scored": sum(p.num_rows for p in parts)})
    return output


@pytest.fixture
def parts() -> list[pa.Table]:
    return [random_predictions(seed, 700) for seed in (1, 2, 3)]


def by_uri(table: Any) -> list[dict[str, Any]]:
    rows = table.to_pylist()
    return sorted(rows, key=lambda row: (row["uri"], str(row["age_years"])))


def test_many_shards_become_one_file_with_the_same_rows(
    tmp_path: Path, parts: list[pa.Table]
) -> None:
    output = run_of(tmp_path, *parts)
    record = write_dataset(output, Partitioning())
    assert list(record["files"]) == ["dataset/part-00000.parquet"]
    written = pq.read_table(f"{output}/dataset/part-00000.parquet")
    plain = [part.cast(written.schema) for part in parts]
    assert by_uri(written) == by_uri(pa.concat_tables(plain))
    assert written.schema.metadata[b"facemill.bundle_id"] == b"0123456789abcdef"
    assert written.schema.field("age_years").metadata[b"unit"] == b"years"


def test_partitions_are_read_by_arrow_duckdb_polars_and_pandas_alike(
    tmp_path: Path, parts: list[pa.Table]
) -> None:
    output = run_of(tmp_path, *parts)
    write_dataset(output, Partitioning(("gender", "age_group"), r"/faces/(?P<camera>[^/]+)/"))
    folder = f"{output}/dataset"
    whole = pa.concat_tables(parts).to_pandas()
    wanted = whole.groupby(["gender", "age_group"], observed=True).size()
    wanted = {key: int(count) for key, count in wanted.items()}

    pattern = f"{folder}/**/*.parquet"
    sql = "select gender, age_group, count(*), min(camera) from read_parquet('{}', {}) group by all"
    rows = duckdb.sql(sql.format(pattern, "hive_partitioning=true")).fetchall()
    assert {(gender, group): count for gender, group, count, _ in rows} == wanted
    assert {camera for *_, camera in rows} == {"a"}

    lazy = pl.scan_parquet(pattern, hive_partitioning=True)
    counted = lazy.group_by("gender", "age_group").len().collect().rows()
    assert {(gender, group): count for gender, group, count in counted} == wanted

    frame = pd.read_parquet(folder)
    assert frame.groupby(["gender", "age_group"], observed=True).size().to_dict() == wanted
    arrow = pyarrow.dataset.dataset(folder, partitioning="hive")
    assert arrow.count_rows() == len(whole)


def test_a_uri_that_the_expression_does_not_match_goes_to_hives_null(tmp_path: Path) -> None:
    output = run_of(tmp_path, random_predictions(1, 30))
    record = write_dataset(output, Partitioning(regex=r"/faces/(?P<camera>[ab])/"))
    folders = {name.split("/")[1] for name in record["files"]}
    assert folders == {"camera=a", "camera=b", "camera=__HIVE_DEFAULT_PARTITION__"}
    frame = duckdb.sql(
        f"select camera, count(*) from read_parquet('{output}/dataset/**/*.parquet', "
        "hive_partitioning=true) group by 1"
    ).fetchall()
    assert sorted(frame, key=str) == [("a", 10), ("b", 10), (None, 10)]


def of_cameras(folder: Path, *cameras: str) -> str:
    """A run whose pictures lie in folders of these names, ten in each."""
    rows = random_predictions(1, 10 * len(cameras))
    uris = [f"/x/{cameras[n % len(cameras)]}/{n}.jpg" for n in range(rows.num_rows)]
    at = rows.column_names.index("uri")
    return run_of(folder, rows.set_column(at, rows.schema.field("uri"), pa.array(uris)))


@pytest.mark.parametrize("by", [(), ("gender", "age_group")])
@pytest.mark.parametrize(
    "cameras",
    [
        ("007", "008", "12"),
        ("00",),
        ("1.50", "2"),
        ("1e3",),
        ("true", "false"),
    ],
)
def test_values_that_are_no_plain_numbers_stay_text_in_every_tool(
    cameras: tuple[str, ...], by: tuple[str, ...], tmp_path: Path
) -> None:
    output = of_cameras(tmp_path, *cameras)
    record = write_dataset(output, Partitioning(by, r"/(?P<camera>[^/]+)/[^/]+$"))
    folder, pattern = f"{output}/dataset", f"{output}/dataset/**/*.parquet"
    wanted = dict.fromkeys(cameras, 10)
    frame = pd.read_parquet(folder)
    assert frame.groupby("camera", observed=True).size().to_dict() == wanted
    sql = (
        f"select camera, count(*) from read_parquet('{pattern}', hive_partitioning=true) group by 1"
    )
    assert dict(duckdb.sql(sql).fetchall()) == wanted
    lazy = pl.scan_parquet(pattern, hive_partitioning=True).group_by("camera").len()
    assert dict(lazy.collect().rows()) == wanted
    arrow = pyarrow.dataset.dataset(folder, partitioning="hive")
    assert arrow.schema.field("camera").type == pa.string()
    assert arrow.count_rows() == record["rows"] == 10 * len(cameras)
    assert "__TEXT__" not in dataset.describe(record)
    assert all(file["rows"] for name, file in record["files"].items() if "__TEXT__" not in name)


@pytest.mark.parametrize("cameras", [("7", "12"), ("door", "007"), ("0",)])
def test_plain_numbers_and_words_need_no_folder_of_no_rows(
    cameras: tuple[str, ...], tmp_path: Path
) -> None:
    record = write_dataset(
        of_cameras(tmp_path, *cameras), Partitioning(regex=r"/(?P<camera>[^/]+)/[^/]+$")
    )
    assert {name.split("/")[1] for name in record["files"]} == {f"camera={c}" for c in cameras}


def test_files_are_cut_at_the_size_asked_for(tmp_path: Path) -> None:
    output = run_of(tmp_path, *(random_predictions(seed, 3000) for seed in range(8)))
    record = write_dataset(output, Partitioning(file_bytes=100_000))
    sizes = [file["bytes"] for file in record["files"].values()]
    assert len(sizes) > 2
    assert max(sizes) < 400_000
    assert sum(file["rows"] for file in record["files"].values()) == 24_000


def test_the_same_layout_again_writes_nothing_and_another_one_replaces_it(
    tmp_path: Path, parts: list[pa.Table]
) -> None:
    output = run_of(tmp_path, *parts)
    write_dataset(output, Partitioning())
    first = os.stat(f"{output}/dataset/part-00000.parquet").st_mtime_ns
    write_dataset(output, Partitioning())
    assert os.stat(f"{output}/dataset/part-00000.parquet").st_mtime_ns == first
    write_dataset(output, Partitioning(("gender",)))
    left = {
        path.relative_to(output).parts[1] for path in Path(output).rglob("dataset/**/*.parquet")
    }
    assert left == {"gender=female", "gender=male"}


def test_a_run_that_has_grown_is_laid_out_anew(tmp_path: Path, parts: list[pa.Table]) -> None:
    output = run_of(tmp_path, *parts[:2])
    assert write_dataset(output, Partitioning())["rows"] == 1400
    run_of(tmp_path, *parts, finished_at="2026-11-25T00:00:00Z")
    assert write_dataset(output, Partitioning())["rows"] == 2100


def test_a_layout_that_died_midway_leaves_no_marker_and_is_done_again(
    tmp_path: Path, parts: list[pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = run_of(tmp_path, *parts)
    write_dataset(output, Partitioning())

    def dies(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tables, "write_pieces", dies)
        with pytest.raises(KeyboardInterrupt):
            write_dataset(output, Partitioning(("gender",)))
    assert not Path(output, layout.DATASET_RECORD).exists()
    record = write_dataset(output, Partitioning(("gender",)))
    assert json.loads(Path(output, layout.DATASET_RECORD).read_text())["files"] == record["files"]
    assert pyarrow.dataset.dataset(f"{output}/dataset", partitioning="hive").count_rows() == 2100


def test_many_partitions_do_not_make_small_files_though_memory_is_bounded(
    tmp_path: Path, parts: list[pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = run_of(tmp_path, *parts)
    whole = write_dataset(output, Partitioning(("gender", "age_group")))
    assert len(whole["files"]) == len({name.rpartition("/")[0] for name in whole["files"]})
    before = {name: tables.read_table(f"{output}/{name}") for name in whole["files"]}
    aside: list[str] = []
    real = dataset.feather.write_feather

    def noted(rows: pa.Table, path: str, **options: Any) -> None:
        aside.append(path)
        real(rows, path, **options)

    monkeypatch.setattr(dataset, "_HELD_BYTES", 20_000)
    monkeypatch.setattr(dataset.feather, "write_feather", noted)
    Path(output, layout.DATASET_RECORD).unlink()
    record = write_dataset(output, Partitioning(("gender", "age_group")))
    assert len(aside) > 20  # far more than is held had to wait on the disk
    assert not Path(aside[0]).parent.exists()
    assert set(record["files"]) == set(whole["files"])
    for name, rows in before.items():
        assert tables.read_table(f"{output}/{name}").to_pylist() == rows.to_pylist()


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"by": ("uri",)}, "'uri' cannot be a folder: choose of gender, age_group"),
        ({"by": ("gender", "gender")}, "names a column twice"),
        ({"regex": "("}, "missing"),
        ({"regex": "/([^/]+)/"}, "contains unnamed groups; write one such as"),
        ({"regex": "/faces/"}, "has no named group: write one such as"),
        ({"regex": "/(?P<gender>[^/]+)/"}, "choose another name"),
    ],
)
def test_a_bad_layout_is_refused_in_a_sentence(layout: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=r".") as caught:
        _ = Partitioning(**layout).levels
    assert message in str(caught.value)


def test_too_many_partitions_are_refused(
    tmp_path: Path, parts: list[pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "MAX_PARTITIONS", 20)
    output = run_of(tmp_path, *parts)
    with pytest.raises(UsageError, match=r"more than 20 partitions, such as name=\d+.jpg"):
        write_dataset(output, Partitioning(regex=r"/(?P<name>[^/]+)$"))


def test_an_unfinished_run_is_refused(tmp_path: Path, parts: list[pa.Table]) -> None:
    output = write_predictions(tmp_path, *parts)
    with pytest.raises(UsageError, match=r"holds no run\.json: finish the run first"):
        write_dataset(output, Partitioning())


def test_a_driver_that_lost_the_output_meanwhile_does_not_say_that_it_is_whole(
    tmp_path: Path, parts: list[pa.Table]
) -> None:
    output = run_of(tmp_path, *parts)

    def taken_over(moment: writes.Moment, operation: str, uri: str) -> None:
        if "/dataset/" in uri and moment == "after":
            holder = tables.read_json(f"{output}/lease.json")
            Path(output, "lease.json").write_text(json.dumps({**holder, "owner": "another"}))

    with writes.watched(taken_over), pytest.raises(FacemillError, match="has taken over `output`"):
        write_dataset(output, Partitioning())
    assert not Path(output, layout.DATASET_RECORD).exists()
