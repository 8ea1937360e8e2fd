"""Pictures in Parquet: every row is an input, and is read forwards once."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.errors import StorageError
from pipelines import storage
from pipelines.storage.archives import read_member
from pipelines.storage.fetching import ReadFailure, fetch, fetch_all
from pipelines.storage.listing import list_files, why_gap
from tests.archives import parquet_of, rows_of

PICTURES = [bytes([i]) * (i + 1) for i in range(11)]


@pytest.mark.parametrize("kind", ["struct", "binary"])
def test_rows_are_inputs_in_any_order(place: str, kind: str) -> None:
    uri = f"{place}/data/train-00000-of-00001.parquet"
    storage.write_bytes(uri, parquet_of(PICTURES, kind=kind))
    for root in (uri, place):
        entries = list(list_files(root))
        assert [entry.uri for entry in entries] == [f"{uri}#{row}" for row in range(11)]
        assert len({entry.etag for entry in entries}) == 1 and entries[0].etag
        assert [e.unit for e in entries] == [
            f"{uri}#{group}.0" for group in (0,) * 4 + (1,) * 4 + (2,) * 3
        ]
        rows = rows_of(root)
        assert list(fetch_all(rows)) == PICTURES
    for row in (10, 3, 3, 0, 7, 6):
        assert read_member(f"{uri}#{row}", row, None) == PICTURES[row]


@pytest.mark.parametrize("kind", ["dictionary", "large", "view", "fixed"])
def test_bytes_of_every_type_are_pictures(tmp_path: Path, kind: str) -> None:
    pictures = [b"abcd", b"efgh", b"abcd"]
    column: pa.Array = pa.array(pictures, {
        "dictionary": pa.binary(), "large": pa.large_binary(), "view": pa.binary_view(),
        "fixed": pa.binary(4),
    }[kind])  # fmt: skip
    if kind == "dictionary":
        column = column.dictionary_encode()
    pq.write_table(pa.table({"image": column}), tmp_path / "a.parquet")
    rows = rows_of(f"{tmp_path}/a.parquet")
    assert list(fetch_all(rows)) == pictures


def test_a_large_row_group_is_cut_into_few_pieces(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(parquet_of([b"x"] * 40_000, group_rows=40_000))
    units = {entry.unit for entry in list_files(str(tmp_path))}
    assert len(units) == 16


def test_a_row_that_holds_no_picture_is_a_row_of_its_own(tmp_path: Path) -> None:
    uri = f"{tmp_path}/a.parquet"
    Path(uri).write_bytes(parquet_of([b"a", None, b"c"]))
    first, lost, last = (fetch({"uri": f"{uri}#{i}", "offset": i, "bytes": None}) for i in range(3))
    assert (first, last) == (b"a", b"c")
    assert isinstance(lost, ReadFailure) and lost.reason == "not_found"
    assert str(lost) == f"{uri}#1 holds no bytes, only the path 1.jpg"


def test_a_damaged_row_group_costs_its_own_rows(tmp_path: Path) -> None:
    uri = tmp_path / "a.parquet"
    uri.write_bytes(parquet_of([bytes([i]) * 3000 for i in range(12)], kind="binary"))
    column = pq.read_metadata(uri).row_group(1).column(0)
    data = bytearray(uri.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    uri.write_bytes(data)
    found = list(fetch_all([{"uri": f"{uri}#{i}", "offset": i} for i in range(12)]))
    assert [isinstance(one, ReadFailure) for one in found] == [4 <= i < 8 for i in range(12)]
    assert isinstance(found[5], ReadFailure) and found[5].reason == "bad_member"


def test_parquet_without_pictures_is_a_file_like_any_other(tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": ["a.jpg"], "age": [3]}), tmp_path / "labels.parquet")
    assert [entry.uri for entry in list_files(str(tmp_path))] == [f"{tmp_path}/labels.parquet"]


def test_which_of_several_columns_of_bytes_is_told_by_its_name_or_asked_for(tmp_path: Path) -> None:
    uri = tmp_path / "a.parquet"
    uri.write_bytes(parquet_of([b"a"], {"embedding": pa.array([b"zz"], pa.binary())}))
    assert fetch({"uri": f"{uri}#0", "offset": 0}) == b"a"
    both = pa.array([b"zz"], pa.binary())
    pq.write_table(pa.table({"first": both, "second": both}), uri)
    with pytest.raises(StorageError) as error:
        list(list_files(str(uri)))
    assert str(error.value) == (
        f"{uri} has several columns of bytes (first, second): name the one with the images "
        "image, or leave the others out"
    )


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    data = parquet_of([b"a"])
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    blank = data[:footer] + bytes(30) + data[footer + 30 :]
    for damaged in (b"PAR1 and no more", data[:-20], blank):
        (tmp_path / "a.parquet").write_bytes(damaged)
        with pytest.raises(StorageError, match=r"a\.parquet"):
            list(list_files(f"{tmp_path}/a.parquet"))
        (entry,) = list_files(str(tmp_path))  # in a folder it stands for what is lost
        assert "a.parquet" in str(why_gap(entry.uri))
