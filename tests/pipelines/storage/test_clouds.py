"""Google's and Azure's stores do what S3 does, tried on servers that speak their protocols."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.fs
import pytest

from model.bundle import Bundle
from model.errors import StorageError, UsageError
from pipelines import storage
from pipelines.storage import tables
from pipelines.storage.fetching import ReadFailure, fetch_all
from pipelines.storage.lease import Lease
from pipelines.storage.listing import list_files, list_roots
from tests.archives import parquet_of, pictures_of, tar_of, zip_of

CLOUDS = ["gs_bucket", "az_container"]


@pytest.fixture(params=CLOUDS)
def place(request: pytest.FixtureRequest) -> str:
    """An empty bucket of each cloud."""
    return request.getfixturevalue(request.param)


def test_files_are_written_read_listed_and_removed(place: str, tmp_path: Path) -> None:
    names = ["a b.jpg", "deep/ü.jpg", "deep/more/%41.png", "deep/.hidden.jpg", "notes.txt"]
    for name in names:
        storage.write_bytes(f"{place}/faces/{name}", name.encode())
    found = {e.uri.removeprefix(f"{place}/faces/"): e for e in list_files(f"{place}/faces")}
    assert sorted(found) == sorted(name for name in names if "hidden" not in name)
    assert all(e.bytes == len(name.encode()) and e.etag for name, e in found.items())
    assert list_roots(f"{place}/faces") == [
        (f"{place}/faces", False), (f"{place}/faces/deep/", True),
    ]  # fmt: skip
    rows = [{"uri": f"{place}/faces/{name}"} for name in [*names, "gone.jpg"]]
    *read, lost = fetch_all(rows)
    assert read == [name.encode() for name in names]
    assert isinstance(lost, ReadFailure) and lost.reason == "not_found"
    assert storage.read_bytes(f"{place}/faces/notes.txt", 2, 3) == b"tes"
    storage.download(f"{place}/faces/notes.txt", str(tmp_path / "copy"))
    storage.upload(f"{place}/faces/copy", tmp_path / "copy")
    assert storage.read_bytes(f"{place}/faces/copy") == b"notes.txt"
    assert storage.exists(f"{place}/faces/copy")
    storage.delete(f"{place}/faces/copy")
    storage.delete(f"{place}/faces/copy")
    assert not storage.exists(f"{place}/faces/copy")
    storage.delete_tree(f"{place}/faces/deep")
    left = [e.uri.removeprefix(f"{place}/faces/") for e in list_files(place)]
    assert left == ["a b.jpg", "notes.txt"]
    storage.require_writable(place, "`output`")


def test_archives_are_read_there(place: str, faces_dir: Path) -> None:
    pictures = pictures_of(faces_dir, 3)
    members = {f"{i}.jpg": data for i, data in enumerate(pictures)}
    files = {"a.parquet": parquet_of(pictures), "b.tar": tar_of(members, "w"),
             "c.tar.gz": tar_of(members), "d.zip": zip_of(members)}  # fmt: skip
    for name, data in files.items():
        storage.write_bytes(f"{place}/{name}", data)
    rows = [{"uri": e.uri, "offset": e.offset, "bytes": e.bytes} for e in list_files(place)]
    assert list(fetch_all(rows)) == pictures * 4


def test_one_driver_at_a_time_by_a_conditional_put(place: str) -> None:
    assert storage.create_bytes(f"{place}/one", b"first")
    assert not storage.create_bytes(f"{place}/one", b"second")
    assert storage.read_bytes(f"{place}/one") == b"first"
    with Lease(f"{place}/out"):
        with pytest.raises(UsageError, match="/out"), Lease(f"{place}/out"):
            pass
        assert storage.exists(f"{place}/out/lease.json")
    assert not storage.exists(f"{place}/out/lease.json")


def test_ray_train_has_a_file_system_there(place: str) -> None:
    files, path = storage.train_filesystem(f"{place}/run")
    files.create_dir(f"{path}/checkpoint", recursive=True)
    with files.open_output_stream(f"{path}/checkpoint/state.npz") as file:
        file.write(b"weights")
    found = files.get_file_info(pyarrow.fs.FileSelector(path, recursive=True))
    names = [info.base_name for info in found if info.type == pyarrow.fs.FileType.File]
    assert names == ["state.npz"]
    assert storage.read_bytes(f"{place}/run/checkpoint/state.npz") == b"weights"


def test_a_bucket_that_is_not_there_or_shut_is_one_sentence(
    az_container: str, gs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="no-such-bucket"):
        storage.require_readable("az://no-such-bucket/x", "`images`")
    with pytest.raises(StorageError, match=f"{gs_bucket}/x"):
        storage.require_readable(f"{gs_bucket}/x", "`images`")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmcga2V5")
    with pytest.raises(StorageError, match=r"is denied: check AZURE_STORAGE_ACCOUNT_NAME, AZURE"):
        storage.require_readable(f"{az_container}/x", "`images`")


def test_names_of_azure_and_google_are_one_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "ours")
    assert storage.normalize("abfs://faces/a/") == "az://faces/a"
    assert storage.normalize("abfss://faces@ours.dfs.core.windows.net/a") == "az://faces/a"
    assert storage.normalize("gcs://faces/a") == "gs://faces/a"
    with pytest.raises(StorageError, match="is in the account theirs, and AZURE_STORAGE_"):
        storage.normalize("abfss://faces@theirs.dfs.core.windows.net/a")
    for slip in ("gs:/faces/a", "az:faces"):
        with pytest.raises(StorageError, match="lacks a slash: write"):
            storage.normalize(slip)
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(StorageError, match=r"^az:// needs to know the storage account: set AZURE_"):
        storage.read_bytes("az://faces/a")


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_pictures_bundle_and_output_may_all_lie_there(
    place: str, faces_dir: Path, untrained: Bundle
) -> None:
    for number, data in enumerate(pictures_of(faces_dir, 5)):
        storage.write_bytes(f"{place}/faces/{number}.jpg", data)
    storage.write_bytes(f"{place}/faces/notes.txt", b"none")
    for file in Path(untrained.folder).iterdir():
        storage.upload(f"{place}/bundle/{file.name}", file)
    command = [
        sys.executable, "-m", "jobs.score", "--faces", "crop", "--images", f"{place}/faces",
        "--bundle", f"{place}/bundle", "--output", f"{place}/out", "--shard-rows", "2",
    ]  # fmt: skip
    for again in (False, True):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=dict(os.environ)
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("already done" in done.stdout) == again
    record = tables.read_json(f"{place}/out/run.json")
    assert (record["scored"], record["quarantined"]) == (5, 1)
    verified = [sys.executable, "-m", "jobs.verify", "--output", f"{place}/out"]
    assert subprocess.run(verified, capture_output=True, check=False).returncode == 0
