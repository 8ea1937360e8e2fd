"""A .tar.gz is read from its start to its end, once to list it and once to read it."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from model.errors import StorageError
from pipelines import storage
from pipelines.storage import local, tars
from pipelines.storage.fetching import ReadFailure, fetch, fetch_all
from pipelines.storage.listing import list_files, why_gap
from tests.archives import rows_of, tar_of

MEMBERS = {f"deep/{i:03}.jpg": bytes([i]) * (1 + 997 * i) for i in range(60)}


@pytest.mark.parametrize("name", ["faces.tar.gz", "faces.TGZ"])
def test_members_of_a_tar_gz_are_inputs_of_one_unit(place: str, name: str) -> None:
    uri = f"{place}/{name}"
    storage.write_bytes(uri, tar_of({**MEMBERS, ".hidden": b"no"}))
    for root in (uri, place):
        rows = rows_of(root)
        assert [row["uri"] for row in rows] == [f"{uri}#{name}" for name in MEMBERS]
        assert list(fetch_all(rows)) == list(MEMBERS.values())
    assert {entry.unit for entry in list_files(uri)} == {uri}
    assert list(fetch_all(rows[::-1])) == list(MEMBERS.values())[::-1]


def test_a_tar_gz_is_unpacked_once_to_list_and_once_to_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{tmp_path}/a.tar.gz"
    Path(uri).write_bytes(tar_of(MEMBERS))
    opened, rewound = list[str](), list[int]()
    real_open, real_rewind = local.open_reader, gzip._GzipReader._rewind  # type: ignore[attr-defined]
    monkeypatch.setattr(local, "open_reader", lambda uri: opened.append(uri) or real_open(uri))
    monkeypatch.setattr(
        gzip._GzipReader,
        "_rewind",
        lambda self: rewound.append(1) or real_rewind(self),  # type: ignore[attr-defined]
    )
    rows = rows_of(uri)
    for start in range(0, 60, 7):  # as the tasks of one process ask for them
        assert all(isinstance(data, bytes) for data in fetch_all(rows[start : start + 7]))
    assert (opened, rewound) == ([uri, uri], [])


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    uri = f"{tmp_path}/a.tar.gz"
    for content in (b"first", b"other"):
        Path(uri).write_bytes(tar_of({"a.jpg": content * 9}))
        assert list(fetch_all(rows_of(uri))) == [content * 9]


def test_a_tar_gz_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    uri = f"{tmp_path}/a.tar.gz"
    data = tar_of({f"{i}.jpg": str(i).encode() * 9999 for i in range(9)})
    for cut in (len(data) // 2, len(data) - 4):
        Path(uri).write_bytes(data[:cut])
        with pytest.raises(StorageError, match=f"^{uri} is cut off .*, and what follows would"):
            list(list_files(uri))
        assert uri in [entry.uri for entry in list_files(str(tmp_path))]  # beside what is not lost
        assert "is cut off" in str(why_gap(uri))
    for other in (b"", b"no gzip at all", gzip.compress(b"no tar at all" * 99)):
        Path(uri).write_bytes(other)
        with pytest.raises(StorageError, match=f"^{uri} is not a tar in gzip "):
            list(list_files(uri))


def test_what_is_damaged_after_it_was_listed_costs_itsrows_of(tmp_path: Path) -> None:
    uri = f"{tmp_path}/a.tar.gz"
    data = bytearray(tar_of(MEMBERS))
    Path(uri).write_bytes(data)
    rows = rows_of(uri)
    Path(uri).write_bytes(data[: len(data) // 2])
    found = list(fetch_all(rows))
    assert found[0] == MEMBERS["deep/000.jpg"]
    assert isinstance(found[-1], ReadFailure) and found[-1].reason == "bad_member"


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    uri = f"{tmp_path}/a.tar.gz"
    info = tarfile.TarInfo("a.jpg")
    info.size = 20 << 30
    with gzip.open(uri, "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    with pytest.raises(StorageError, match=r"a\.tar\.gz unpacks to more than 200 times its size"):
        list(list_files(uri))
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 900 << 20
    with gzip.open(uri, "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    with pytest.raises(StorageError, match="a header asks for more than 64 MiB"):
        list(list_files(uri))


def test_a_member_larger_than_any_picture_is_never_read(tmp_path: Path) -> None:
    uri = f"{tmp_path}/a.tar.gz"
    with tarfile.open(uri, "w:gz") as tar:
        info = tarfile.TarInfo("film.jpg")
        info.size = 300 << 20
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    (row,) = rows_of(uri)
    failure = fetch(row)
    assert isinstance(failure, ReadFailure) and failure.reason == "file_too_large"
    assert tars.is_gzipped(uri)
