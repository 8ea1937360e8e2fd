"""A .zip's members are read one by one; what is wrong with one costs that one."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from model.errors import StorageError
from pipelines import storage
from pipelines.storage.fetching import ReadFailure, fetch, fetch_all
from pipelines.storage.listing import list_files, why_gap
from tests.archives import rows_of, zip_of

MEMBERS = {"a.jpg": b"", "deep/b.jpg": b"xy" * 4000, "ünï.png": bytes(range(256)) * 9}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_whatever_their_order(place: str, method: int) -> None:
    hidden = {"__MACOSX/._a.jpg": b"no", ".x/a.jpg": b"no", "folder/": b""}
    storage.write_bytes(f"{place}/faces.zip", zip_of({**MEMBERS, **hidden}, method))
    rows = rows_of(f"{place}/faces.zip")
    assert [row["uri"] for row in rows] == [f"{place}/faces.zip#{name}" for name in MEMBERS]
    assert list(fetch_all(rows)) == list(MEMBERS.values())
    assert list(fetch_all(rows[::-1])) == list(MEMBERS.values())[::-1]
    etags = [entry.etag for entry in list_files(place)]
    assert etags[1] == f"{zlib.crc32(MEMBERS['deep/b.jpg']):08x}-1f40"


def test_a_streamed_zip_with_sizes_behind_the_members_and_long_headers_is_read(
    tmp_path: Path,
) -> None:
    class OneWay(io.RawIOBase):  # what cannot seek gets its sizes behind each member
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    sink = OneWay()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in MEMBERS.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.extra = struct.pack("<HH", 0x4141, 5000) + bytes(5000)
            archive.writestr(info, data)
    (tmp_path / "a.zip").write_bytes(sink.data)
    assert list(fetch_all(rows_of(f"{tmp_path}/a.zip"))) == list(MEMBERS.values())


def test_a_name_that_stands_there_twice_is_two_inputs(tmp_path: Path) -> None:
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(tmp_path / "a.zip", "w") as archive,
    ):
        archive.writestr("a.jpg", b"first")
        archive.writestr("a.jpg", b"second")
    rows = rows_of(f"{tmp_path}/a.zip")
    assert len({row["uri"] for row in rows}) == 2
    assert list(fetch_all(rows)) == [b"first", b"second"]


def test_what_is_wrong_with_a_member_is_a_row(tmp_path: Path) -> None:
    uri = f"{tmp_path}/a.zip"
    whole = zip_of({"1.jpg": b"x" * 5000, "2.jpg": b"y" * 5000}, zipfile.ZIP_DEFLATED)
    Path(uri).write_bytes(whole)
    first, second = rows_of(uri)

    def outcome(at: int, data: bytes) -> str:
        Path(uri).write_bytes(whole[:at] + data + whole[at + len(data) :])
        assert fetch(second) == b"y" * 5000
        failure = fetch(first)
        assert isinstance(failure, ReadFailure) and failure.reason == "bad_member"
        return str(failure).removeprefix(f"{uri}#1.jpg ")

    assert outcome(6, b"\1") == "is encrypted: repack the archive without a password"
    assert outcome(8, b"\14") == "is packed by method 12: only stored and deflated are read"
    assert outcome(0, b"XX") == "is no longer where the archive's directory says"
    damaged = "is damaged, or not of the size that the archive's directory says"
    assert outcome(35, b"\xff\xff\xff") == damaged


def test_a_member_never_unpacks_to_more_than_the_directory_says(tmp_path: Path) -> None:
    """A bomb of 200 MB in 200 kB whose directory says 100 bytes, and one that says the truth."""
    data = bytearray(zip_of({"a.jpg": bytes(300 << 20)}))
    (tmp_path / "honest.zip").write_bytes(data)
    (row,) = rows_of(f"{tmp_path}/honest.zip")
    honest = fetch(row)
    assert isinstance(honest, ReadFailure) and honest.reason == "file_too_large"
    place = data.rindex(b"PK\1\2")
    data[place + 24 : place + 28] = struct.pack("<L", 100)
    (tmp_path / "lying.zip").write_bytes(data)
    (row,) = rows_of(f"{tmp_path}/lying.zip")
    lying = fetch(row)
    assert isinstance(lying, ReadFailure) and lying.reason == "bad_member"


def test_a_zip_without_its_end_is_refused(place: str) -> None:
    storage.write_bytes(f"{place}/cut.zip", zip_of(MEMBERS)[:-30])
    with pytest.raises(StorageError) as error:
        list(list_files(f"{place}/cut.zip"))
    assert str(error.value) == (
        f"{place}/cut.zip is no whole .zip (File is not a zip file): copy it again, or repack "
        "it with zip -r"
    )
    assert [entry.uri for entry in list_files(place)] == [f"{place}/cut.zip"]
    assert str(error.value) in str(why_gap(f"{place}/cut.zip"))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_byte_that_changed_in_a_member_is_known_by_its_checksum(
    tmp_path: Path, method: int, behind: bool
) -> None:
    """Stored pictures decode all the same, as other pictures."""
    content = bytes(range(256)) * 30
    data = bytearray(zip_of({"a.jpg": content}, method))
    if behind:  # as a writer that cannot seek has it: no sum in the header, but behind the stream
        size = zipfile.ZipFile(io.BytesIO(data)).getinfo("a.jpg").compress_size
        end = 30 + len("a.jpg") + size
        (crc,) = struct.unpack_from("<L", data, 14)
        data[6] |= 8
        data[14:18] = bytes(4)
        data[end:end] = b"PK\7\x08" + struct.pack("<3L", crc, size, len(content))
        data[-6:-2] = struct.pack("<L", struct.unpack_from("<L", data, len(data) - 6)[0] + 16)
    (tmp_path / "a.zip").write_bytes(data)
    assert list(fetch_all(rows_of(f"{tmp_path}/a.zip"))) == [content]
    at = data.index(content[40:60]) if method == zipfile.ZIP_STORED else 45
    data[at] ^= 1
    (tmp_path / "a.zip").write_bytes(data)
    (failure,) = fetch_all(rows_of(f"{tmp_path}/a.zip"))
    assert isinstance(failure, ReadFailure)
    assert failure.reason == "bad_member"
