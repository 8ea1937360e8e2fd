"""A listing has no silent gap: not a folder, not the end of a tar, not a bucket with odd keys."""

import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model.errors import StorageError, UsageError
from pipelines import storage
from pipelines.storage.archives import read_member
from pipelines.storage.clients import s3_files
from pipelines.storage.fetching import ReadFailure, fetch
from pipelines.storage.listing import list_files, list_roots, require_apart, why_gap
from pipelines.storage.tables import list_parquet
from tests.archives import tar_of
from tests.failing_disk import Rule, on_failing_disk

MEMBERS = {name: bytes(700) for name in ("a.jpg", "b.jpg", "c.jpg")}


def test_a_folder_that_cannot_be_read_is_an_entry_and_no_silent_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "shut", "z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").touch()
    real = os.scandir

    def scandir(path: Any) -> Iterator[os.DirEntry[str]]:
        if (
            str(path).rstrip("/").endswith("shut")
        ):  # permissions do not stop the root user of a test
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = [entry.uri for entry in list_files(str(tmp_path))]
    assert found == [f"{tmp_path}/a/1.jpg", f"{tmp_path}/z/1.jpg", f"{tmp_path}/shut/"]
    assert "Permission denied (EACCES)" in str(why_gap(f"{tmp_path}/shut/"))
    assert why_gap(f"{tmp_path}/a/1.jpg") is None
    with pytest.raises(StorageError):  # nobody would miss files of an output in silence
        list_parquet(str(tmp_path))
    assert [entry.uri for entry in list_files(f"{tmp_path}/shut")] == [f"{tmp_path}/shut/"]


@pytest.mark.parametrize("name", ["EACCES", "EIO", "ESTALE"])
def test_a_folder_that_the_disk_does_not_list_is_an_entry_unless_the_disk_is_gone(
    name: str, tmp_path: Path
) -> None:
    for folder in ("a", "lost+found"):
        (tmp_path / "faces" / folder).mkdir(parents=True)
        (tmp_path / "faces" / folder / "1.jpg").touch()
    code = """
import sys
from pipelines.storage.listing import list_files
print([entry.uri.removeprefix(sys.argv[1]) for entry in list_files(sys.argv[1])])
"""

    def listed(*rules: Rule) -> "subprocess.CompletedProcess[str]":
        there = on_failing_disk(tmp_path, *rules)
        listing = [sys.executable, "-c", code, str(tmp_path / "faces")]
        return subprocess.run(listing, env=there, capture_output=True, text=True)

    assert listed(("opendir", name, "lost+found")).stdout == "['/a/1.jpg', '/lost+found/']\n"
    gone = listed(("opendir", name, str(tmp_path)))
    assert ("StorageError" in gone.stderr) == (name != "EACCES")


@pytest.mark.parametrize("kind", ["tar", "zip", "parquet"])
def test_an_archive_that_cannot_be_listed_is_an_entry_beside_others(
    kind: str, tmp_path: Path
) -> None:
    (tmp_path / "b.jpg").write_bytes(b"b")
    (tmp_path / f"a.{kind}").write_bytes(b"no archive")
    os.mkfifo(tmp_path / f"pipe.{kind}")
    (tmp_path / f"zero.{kind}").symlink_to("/dev/zero")
    entries = {entry.uri.rpartition("/")[2] for entry in list_files(str(tmp_path))}
    assert entries == {"b.jpg", f"a.{kind}", f"pipe.{kind}", f"zero.{kind}"}
    for name, why in (("a", "repack|whole"), ("pipe", "named pipe"), ("zero", "device")):
        assert re.search(why, str(why_gap(f"{tmp_path}/{name}.{kind}")))


@pytest.mark.parametrize(
    ("cut", "what"),
    [
        (1536, "is cut off at byte 1,536"),  # between two members
        (1536 + 100, "is damaged, or two in one, at byte 1,536"),  # within a header
        (1536 + 600, r"is cut off \(unexpected end of data\)"),  # within the second member
    ],
)
def test_a_tar_without_its_end_is_refused(tmp_path: Path, place: str, cut: int, what: str) -> None:
    data = tar_of(MEMBERS, "w")
    storage.write_bytes(f"{place}/cut.tar", data[:cut])
    with pytest.raises(StorageError, match=f"^{place}/cut.tar {what}, and what follows"):
        list(list_files(f"{place}/cut.tar"))


@pytest.mark.parametrize("damage", ["checksum", "zeros", "two in one"])
def test_what_ends_a_tar_early_does_not_end_it_silently(tmp_path: Path, damage: str) -> None:
    data = bytearray(tar_of(MEMBERS, "w"))
    if damage == "checksum":  # of the second header
        data[1536 + 148 : 1536 + 156] = b"99999999"
    elif damage == "zeros":  # for the second header
        data[1536:2048] = bytes(512)
    else:
        data = data + data
    (tmp_path / "faces.tar").write_bytes(data)
    with pytest.raises(StorageError, match="is damaged, or two in one, at byte"):
        list(list_files(str(tmp_path / "faces.tar")))


def test_a_name_twice_in_a_tar_is_two_inputs_of_two_uris(tmp_path: Path, bucket: str) -> None:
    with tarfile.open(tmp_path / "faces.tar", "w") as tar:
        for number, name in enumerate(("a.jpg", "b.jpg", "a.jpg")):
            info = tarfile.TarInfo(name)
            info.size = 700
            tar.addfile(info, io.BytesIO(bytes([number]) * 700))
    entries = list(list_files(str(tmp_path / "faces.tar")))
    storage.write_bytes(f"{bucket}/faces.tar", (tmp_path / "faces.tar").read_bytes())
    remote = list(list_files(f"{bucket}/faces.tar"))
    assert [(e.bytes, e.offset) for e in remote] == [(e.bytes, e.offset) for e in entries]
    names = [entry.uri.partition("#")[2] for entry in entries]
    assert names == ["a.jpg", "b.jpg", f"a.jpg@{entries[2].offset}"]
    read = [read_member(e.uri, e.offset, e.bytes)[0] for e in entries]
    assert read == [0, 1, 2]


def test_one_odd_key_hides_no_other_of_its_bucket(bucket: str) -> None:
    name, prefix = storage.split_bucket(f"{bucket}/odd")
    client = s3_files()
    for key in ("a.jpg", "b//c.jpg", "d.jpg", "e/f.jpg", ".hidden/g.jpg"):
        client.call_s3("put_object", Bucket=name, Key=f"{prefix}/{key}", Body=b"face")
    found = [entry.uri.removeprefix(f"{bucket}/odd/") for entry in list_files(f"{bucket}/odd")]
    assert found == ["a.jpg", "b//c.jpg", "d.jpg", "e/f.jpg"]
    roots = list_roots(f"{bucket}/odd")
    below = [e.uri for root, deep in roots for e in list_files(root, descend=deep)]
    assert sorted(below) == sorted(f"{bucket}/odd/{key}" for key in found)


def _listed(uri: str) -> list[str]:
    """What a run over `uri` gets, through the roots that are listed in parallel."""
    below = [e.uri for root, deep in list_roots(uri) for e in list_files(root, descend=deep)]
    whole = [entry.uri for entry in list_files(uri)]
    assert sorted(below) == sorted(whole)
    return sorted(name.removeprefix(f"{uri}/") for name in whole)


def _put(bucket: str, *keys: str, body: bytes = b"face") -> None:
    client = s3_files()
    for key in keys:
        name = bucket.removeprefix("s3://")
        client.call_s3("put_object", Bucket=name, Key=key, Body=b"" if key[-1] == "/" else body)


def test_a_folder_named_like_an_image_or_a_tar_is_a_folder(bucket: str) -> None:
    keys = ["crops/IMG_1.jpg/face0.jpg", "crops/IMG_1.jpg/face1.jpg", "crops/a.tar/b.jpg",
            "crops/e.jpg"]  # fmt: skip
    _put(bucket, *keys)
    assert _listed(f"{bucket}/crops") == [key.removeprefix("crops/") for key in sorted(keys)]
    inside = f"{bucket}/crops/IMG_1.jpg"
    assert [e.uri for e in list_files(inside)] == [f"{inside}/face0.jpg", f"{inside}/face1.jpg"]


def test_the_console_s_folders_are_no_inputs(bucket: str) -> None:
    _put(bucket, "faces/", "faces/a.jpg", "faces/empty/", "faces/sub/", "faces/sub/b.jpg")
    assert _listed(bucket) == ["faces/a.jpg", "faces/sub/b.jpg"]
    assert _listed(f"{bucket}/faces") == ["a.jpg", "sub/b.jpg"]


def test_a_key_that_begins_with_a_slash_is_an_input_of_that_name(bucket: str) -> None:
    _put(bucket, "/x.jpg", "x.jpg", "f/./y.jpg", ".hidden/z.jpg")
    assert sorted(_listed(bucket)) == ["/x.jpg", "f/./y.jpg", "x.jpg"]
    (slashed,) = (e for e in list_files(bucket) if e.uri.endswith("//x.jpg"))
    failure = fetch({"uri": slashed.uri, "bytes": slashed.bytes})
    assert isinstance(failure, ReadFailure)
    assert failure.reason == "bad_key"


def test_links_in_a_tar_are_inputs_as_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    (folder / ".hidden").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"face")
    (folder / ".hidden" / "h.jpg").write_bytes(b"hidden")
    os.link(folder / "a.jpg", folder / "b.jpg")
    os.symlink("a.jpg", folder / "c.jpg")
    os.symlink("/nowhere.jpg", folder / "d.jpg")
    os.symlink(".hidden/h.jpg", folder / "e.jpg")
    with tarfile.open(tmp_path / "faces.tar", "w") as tar:
        for name in (".hidden/h.jpg", "a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"):
            tar.add(folder / name, f"./{name}")
    inside = {e.uri.partition("#./")[2]: e for e in list_files(str(tmp_path / "faces.tar"))}
    assert sorted(inside) == sorted(os.path.basename(e.uri) for e in list_files(str(folder)))
    read = {n: read_member(e.uri, e.offset, e.bytes) for n, e in inside.items()}
    linked = {"b.jpg": b"face", "c.jpg": b"face", "d.jpg": b"", "e.jpg": b"hidden"}
    assert read == {"a.jpg": b"face", **linked}
    assert inside["d.jpg"].etag is None


@pytest.mark.parametrize(
    "root", ["/data/faces", "/data/faces/", "s3://bucket/faces", "s3://bucket"]
)
def test_an_output_that_would_be_listed_as_images_is_refused(root: str) -> None:
    for below in (root, f"{root.rstrip('/')}/scored"):
        with pytest.raises(UsageError) as error:
            require_apart(root, below)
        assert str(error.value) == (
            f"`output` {below} lies in `images` {root}, so its files would become inputs: "
            "choose an output outside of it"
        )
    for beside in (f"{root.rstrip('/')}-scored", "/data/scored", "s3://other/faces"):
        require_apart(root, beside)


def test_tars_below_a_folder_are_read_as_their_members(tmp_path: Path, place: str) -> None:
    members = ("000.jpg", "000.json", "deep/001.jpg")
    data = tar_of({name: name.encode() for name in members}, "w")
    for key in ("train-0.tar", "train-1.tar", "more/val-0.tar"):
        storage.write_bytes(f"{place}/{key}", data)
    storage.write_bytes(f"{place}/single.jpg", b"face")
    tars = ("more/val-0.tar", "train-0.tar", "train-1.tar")
    found = _listed(place)
    assert sorted(found) == sorted(["single.jpg", *(f"{t}#{m}" for t in tars for m in members)])
    entry = next(e for e in list_files(place) if e.uri.endswith("train-1.tar#deep/001.jpg"))
    assert read_member(entry.uri, entry.offset, entry.bytes) == b"deep/001.jpg"


def test_a_cut_tar_below_a_folder_is_an_entry_beside_its_members(tmp_path: Path) -> None:
    data = tar_of(MEMBERS, "w")
    (tmp_path / "a.tar").write_bytes(data)
    (tmp_path / "b.tar").write_bytes(data[:1536])
    entries = [entry.uri.rpartition("/")[2] for entry in list_files(str(tmp_path))]
    assert entries == ["a.tar#a.jpg", "a.tar#b.jpg", "a.tar#c.jpg", "b.tar#a.jpg", "b.tar"]
    assert "b.tar is cut off at byte 1,536" in str(why_gap(f"{tmp_path}/b.tar"))
    with pytest.raises(StorageError, match=r"b\.tar is cut off at byte 1,536"):
        list(list_files(f"{tmp_path}/b.tar"))


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("a b.TXZ", "`xz -dc 'a b.TXZ' > faces.tar`, and give that .tar"),
        ("x.tar.zst", "`zstd -dc x.tar.zst > faces.tar`, and give that .tar"),
        ("x.tar.bz2", "`bunzip2 -c x.tar.bz2 > faces.tar`, and give that .tar"),
        ("x.7z", "`7z x x.7z -ofaces`, and give that folder"),
        ("x.rar", "`unrar x x.rar faces/`, and give that folder"),
        (
            "a.arrow",
            "datasets.Dataset.from_file('a.arrow').to_parquet('faces.parquet')\"`, and give",
        ),
        ("train.tfrecord", "write its images to files"),
        ("faces.h5", "write its images to files"),
    ],
)
def test_a_compressed_archive_is_a_sentence_that_says_what_to_do(
    place: str, name: str, way_out: str
) -> None:
    storage.write_bytes(f"{place}/{name}", b"PK\3\4")
    with pytest.raises(StorageError, match=f"^{place}/{name} is of a kind that is not") as error:
        list(list_files(f"{place}/{name}"))
    assert way_out in str(error.value)


def test_a_folder_named_like_an_archive_is_a_folder(tmp_path: Path, bucket: str) -> None:
    for folder in (f"{tmp_path}/faces.zip", f"{bucket}/faces.zip"):
        storage.write_bytes(f"{folder}/a.jpg", b"face")
        assert [entry.uri for entry in list_files(folder)] == [f"{folder}/a.jpg"]
