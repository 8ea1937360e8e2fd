"""Files that a disk does not give, that hang, that have no end or are none: rows, not ends."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import StorageError, describe_os_error
from pipelines import storage
from pipelines.storage import timed_reads
from pipelines.storage.fetching import ReadFailure, fetch_all
from pipelines.storage.listing import list_files
from tests.archives import parquet_of, tar_of, zip_of
from tests.failing_disk import Rule, on_failing_disk

_FETCH = """
import dataclasses, json, sys
from pipelines.storage.fetching import ReadFailure, fetch_all
entries = json.load(sys.stdin)
found = list(fetch_all(entries))
print(json.dumps([[d.reason, str(d)] if isinstance(d, ReadFailure) else len(d) for d in found]))
"""


def _fetched(
    folder: Path, entries: list[dict[str, object]], *rules: Rule
) -> "subprocess.CompletedProcess[str]":
    """What a process on such a disk gets of inputs."""
    there = {**on_failing_disk(folder, *rules), "FACEMILL_READ_S": "0.5"}
    return subprocess.run(
        [sys.executable, "-c", _FETCH], env=there, input=json.dumps(entries), capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip


def _files(folder: Path, count: int = 6) -> list[dict[str, object]]:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(bytes(100 + number))
    return [{"uri": str(folder / f"{number}.jpg")} for number in range(count)]


@pytest.mark.parametrize("call", ["open", "read"])
def test_a_file_that_the_disk_does_not_give_is_a_row_where_others_can_be_read(
    call: str, tmp_path: Path
) -> None:
    names = ["", "EIO", "ESTALE", "EDEADLK", "", "ENOKEY", "EUCLEAN", "EREMOTEIO"]
    entries = _files(tmp_path / "faces", len(names))
    bad = {number: name for number, name in enumerate(names) if name}
    rules = [(call, name, f"/{number}.jpg") for number, name in bad.items()]
    found = json.loads(_fetched(tmp_path, entries, *rules).stdout)
    assert [found[0], found[4]] == [100, 104]
    for number, name in bad.items():
        reason, message = found[number]
        assert reason == "unreadable"
        told = os.strerror(getattr(errno, name))
        assert message.startswith(f"{entries[number]['uri']}: {told} ({name})")


def test_a_file_alone_in_its_shard_is_judged_by_its_folder(tmp_path: Path) -> None:
    entries = _files(tmp_path / "faces")
    done = _fetched(tmp_path, entries[2:3], ("read", "EIO", "/2.jpg"))
    assert json.loads(done.stdout)[0][0] == "unreadable"


@pytest.mark.parametrize("name", ["EIO", "ESTALE", "ENOTCONN", "HANG"])
def test_a_disk_that_is_gone_is_an_error_and_makes_no_row(name: str, tmp_path: Path) -> None:
    entries = _files(tmp_path / "faces")
    done = _fetched(tmp_path, entries, ("read", name, "/faces/"))
    assert done.returncode == 1
    assert ("TimeoutError" if name == "HANG" else "OSError") in done.stderr
    assert "/faces/0.jpg" in done.stderr


def test_a_file_whose_read_never_ends_is_a_row(tmp_path: Path) -> None:
    entries = _files(tmp_path / "faces")
    done = _fetched(tmp_path, entries, ("read", "HANG", "/1.jpg"), ("open", "HANG", "/4.jpg"))
    found = json.loads(done.stdout)
    assert [found[number][0] for number in (1, 4)] == ["timeout", "timeout"]
    assert [found[number] for number in (0, 2, 3, 5)] == [100, 102, 103, 105]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "parquet"])
def test_an_archive_that_the_disk_gives_no_more_is_rows_where_others_can_be_read(
    kind: str, tmp_path: Path
) -> None:
    pictures = {f"{number}.jpg": bytes(100 + number) for number in range(4)}
    packed = {
        "zip": lambda: zip_of(pictures), "tar": lambda: tar_of(pictures, "w"),
        "tar.gz": lambda: tar_of(pictures), "parquet": lambda: parquet_of(list(pictures.values())),
    }  # fmt: skip
    folder = tmp_path / "faces"
    folder.mkdir()
    (folder / f"a.{kind}").write_bytes(packed[kind]())
    (folder / "b.jpg").write_bytes(bytes(7))
    entries = [vars(entry) for entry in list_files(str(folder))]
    found = json.loads(_fetched(tmp_path, entries, ("read", "EIO", f"a.{kind}")).stdout)
    assert [why[0] for why in found[:-1]] == ["unreadable"] * 4
    assert found[-1] == 7


def _odd(folder: Path, kind: str, name: str) -> Path:
    """Something that is no file, under the name of one."""
    path = folder / name
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"zero": "/dev/zero", "endless": "/proc/self/pagemap"}[kind])
    return path


@pytest.mark.parametrize("kind", ["pipe", "zero"])
@pytest.mark.parametrize("name", ["x.csv", "x.txt", "x.parquet", "x.zip", "x.tar", "x.tar.gz"])
def test_what_is_no_regular_file_is_a_sentence_where_it_is_given(
    kind: str, name: str, tmp_path: Path
) -> None:
    path = _odd(tmp_path, kind, name)
    what = {"pipe": "a named pipe", "zero": "a device"}[kind]
    with pytest.raises(StorageError, match=rf"^{path} is {what}"):
        storage.read_bytes(str(path))
    with pytest.raises(StorageError, match=rf"^{path} is {what}"):
        storage.open_reader(str(path))
    with pytest.raises(StorageError, match=rf"^`images` {path} is {what}"):
        storage.require_readable(str(path), "`images`")


@pytest.mark.parametrize("kind", ["pipe", "zero"])
def test_what_is_no_regular_file_is_a_row_where_it_is_named_like_an_image(
    kind: str, tmp_path: Path
) -> None:
    entries = [*_files(tmp_path / "faces", 1), {"uri": str(_odd(tmp_path, kind, "x.jpg"))}]
    found = list(fetch_all(entries))
    assert isinstance(found[1], ReadFailure)
    assert found[1].reason == "not_a_file"


def test_a_file_without_an_end_is_a_row(tmp_path: Path) -> None:
    path = _odd(tmp_path, "endless", "x.jpg")
    assert path.stat().st_size == 0
    found = list(fetch_all([*_files(tmp_path / "faces", 1), {"uri": str(path)}]))
    assert isinstance(found[1], ReadFailure)
    assert found[1].reason == "file_too_large"


def test_a_file_too_large_to_be_held_is_a_sentence(tmp_path: Path) -> None:
    with (tmp_path / "labels.csv").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(StorageError, match=r"labels\.csv has 1,099,511,627,776 bytes"):
        storage.read_bytes(str(tmp_path / "labels.csv"))


def test_reads_that_hang_cost_threads_only_while_they_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEMILL_READ_S", "0.2")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(TimeoutError) as told:
        timed_reads.within(pipe.read_bytes, str(pipe))
    assert (told.value.errno, told.value.filename) == (errno.ETIMEDOUT, str(pipe))
    assert timed_reads.within(lambda: 7, "x") == 7
    pipe.write_bytes(b"late")  # the one that hung ends, and its answer is nobody's
    assert timed_reads.within(lambda: 8, "x") == 8


def test_an_error_of_a_disk_is_told_with_its_path_its_code_and_its_cure() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/out/a.parquet")
    assert describe_os_error(full) == (
        "/out/a.parquet: No space left on device (ENOSPC); make room on that disk"
    )
    assert describe_os_error(OSError("s3://b/k: 503")) == "s3://b/k: 503"
