"""One door to bytes: whole files or none, any key, and one sentence for whatever is wrong."""

import os
import re
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from model.errors import StorageError
from pipelines import storage
from pipelines.storage import listing, objects, writes
from tests.answering_store import Answer, handler, served
from tests.s3_server import S3Server

ODD_NAMES = ["with space.jpg", "größe 人物.jpg", "100%25.jpg", "a+b=c&d.jpg", "hash#tag?.jpg"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_is_written_listed_read_and_deleted(place: str, name: str) -> None:
    uri = storage.join(place, "sub", name)
    storage.write_bytes(uri, b"face")
    assert storage.exists(uri)
    assert [(entry.uri, entry.bytes) for entry in listing.list_files(place)] == [(uri, 4)]
    assert storage.read_bytes(uri) == b"face"
    storage.delete(uri)
    assert not storage.exists(uri)
    storage.delete(uri)  # a second time is no error


def test_a_folder_is_removed_whole_and_an_absent_one_is_no_error(place: str) -> None:
    uri = storage.join(place, "sub")
    storage.write_bytes(storage.join(uri, "deep", "face.jpg"), b"face")
    storage.delete_tree(uri)
    assert not list(listing.list_files(place))
    storage.delete_tree(uri)


def test_a_folder_that_cannot_be_removed_is_told(tmp_path: Path) -> None:
    in_the_way = tmp_path / "sub"
    in_the_way.write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="sub"):
        storage.delete_tree(str(in_the_way))


def test_a_file_is_read_whole_or_in_part_and_a_second_write_replaces_the_first(place: str) -> None:
    uri = storage.join(place, "faces.bin")
    with pytest.raises(FileNotFoundError, match=re.escape("faces.bin")):
        storage.read_bytes(uri)
    for data in (b"a long first version", b"0123456789"):
        storage.write_bytes(uri, data)
    assert storage.read_bytes(uri) == b"0123456789"
    assert storage.read_bytes(uri, 3, 4) == b"3456"


def test_a_large_file_goes_in_parts_and_is_whole(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_ONE_PUT_BYTES", 2**20)
    data = os.urandom(12 * 2**20 + 7)
    storage.write_bytes(f"{place}/large.parquet", data)
    assert storage.read_bytes(f"{place}/large.parquet") == data


def test_hidden_files_are_not_listed_and_folders_cover_all(place: str) -> None:
    for name in ("top.jpg", "one/a.jpg", "two/deep/b.jpg", ".hidden.jpg", "one/.x/c.jpg"):
        storage.write_bytes(storage.join(place, name), b"x")
    roots = listing.list_roots(place)
    found = [e.uri for root, descend in roots for e in listing.list_files(root, descend=descend)]
    expected = [storage.join(place, n) for n in ("one/a.jpg", "top.jpg", "two/deep/b.jpg")]
    assert sorted(found) == expected
    assert len(roots) == 3
    assert sorted(e.uri for e in listing.list_files(place)) == expected
    assert len(list(listing.list_files(place, limit=2))) == 2


def test_one_file_lists_itself(place: str) -> None:
    uri = storage.join(place, "one.jpg")
    storage.write_bytes(uri, b"x")
    assert [entry.uri for entry in listing.list_files(uri)] == [uri]
    assert listing.list_roots(uri) == [(uri, True)]
    assert list(listing.list_files(storage.join(place, "no.jpg"))) == []


def test_flat_prefix_is_one_root_however_many_keys(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the driver would hold all keys, only to learn that there is no folder."""
    monkeypatch.setattr(objects, "_PAGE", 4)
    flat = f"{bucket}/flat"
    for number in range(6):
        storage.write_bytes(f"{flat}/{number}.jpg", b"x")
    assert listing.list_roots(flat) == [(flat, True)]
    assert len(list(listing.list_files(flat))) == 6


def test_reader_sees_the_old_file_or_the_new_one_never_a_part(tmp_path: Path) -> None:
    uri = str(tmp_path / "big.bin")
    versions = [bytes([n]) * 2_000_000 for n in (1, 2)]
    storage.write_bytes(uri, versions[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for data in versions:
                storage.write_bytes(uri, data)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    seen = [storage.read_bytes(uri) for _ in range(40)]
    stop.set()
    for writer in writers:
        writer.join()
    assert all(data in versions for data in seen)
    assert os.listdir(tmp_path) == ["big.bin"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_failed_write_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    uri = str(tmp_path / "run.json")
    storage.write_bytes(uri, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, full)
    with pytest.raises(OSError, match="No space left"):
        storage.write_bytes(uri, b"new")
    assert Path(uri).read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["run.json"]


ONE_KEY = (
    "<Contents><Key>1.jpg</Key><Size>3</Size><ETag>e</ETag>"
    "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
)


def test_in_a_submitted_job_a_missing_path_says_what_stays_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked = tmp_path / "working_dir_files" / "_ray_pkg_1"
    unpacked.mkdir(parents=True)
    monkeypatch.chdir(unpacked)
    with pytest.raises(
        StorageError,
        match=r"uploads the working directory without what \.gitignore and \.rayignore",
    ):
        storage.require_readable(storage.normalize("runs/train/bundle"), "`bundle`")


AN_OBJECT = {"ETag": "e", "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}


def public(request: BaseHTTPRequestHandler) -> Answer:
    """A bucket that anybody may read, and that refuses whoever signs."""
    keys = "" if "prefix=%2F" in request.path else ONE_KEY
    listed = f"<ListBucketResult><IsTruncated>false</IsTruncated>{keys}</ListBucketResult>"
    body = listed if "list-type=2" in request.path else "jpg"
    return 403 if "Authorization" in request.headers else 200, AN_OBJECT, body.encode()


def paid_by_reader(request: BaseHTTPRequestHandler) -> Answer:
    """A bucket whose reader must say that he pays."""
    pays = request.headers.get("x-amz-request-payer") == "requester"
    return 200 if pays else 403, AN_OBJECT, b"jpg"


def test_a_bucket_whose_reader_pays_is_read_where_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with served(handler(paid_by_reader), monkeypatch):
        with pytest.raises(PermissionError):
            storage.read_bytes("s3://nobody-pays/1.jpg")
        monkeypatch.setenv("AWS_REQUEST_PAYER", "true")
        assert storage.read_bytes("s3://i-pay/1.jpg") == b"jpg"


def test_a_public_bucket_is_listed_and_read_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(handler(public), monkeypatch):
        with pytest.raises(PermissionError):
            storage.read_bytes("s3://signed/1.jpg")
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        storage.require_readable("s3://public", "`images`")
        assert [entry.uri for entry in listing.list_files("s3://public")] == ["s3://public/1.jpg"]
        assert storage.read_bytes("s3://public/1.jpg") == b"jpg"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_without_a_scheme_is_a_sentence_and_no_panic(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "minio.local:9000")
    for act in (lambda uri: storage.require_readable(uri, "`images`"), storage.read_bytes):
        with pytest.raises(StorageError, match=f"^{name}=minio.local:9000 is no URL: write http:"):
            act("s3://bucket/faces")


def test_every_write_passes_one_door_and_can_be_stopped_before_amid_and_after(
    tmp_path: Path,
) -> None:
    uri, seen = str(tmp_path / "run.json"), list[tuple[str, str]]()

    def stop(at: str) -> writes.WriteWatcher:
        def watcher(moment: writes.Moment, operation: str, where: str) -> None:
            seen.append((moment, operation))
            assert where.startswith(str(tmp_path))
            if moment == at:
                raise KeyboardInterrupt

        return watcher

    storage.write_bytes(uri, b"old")
    for at, left in (("before", b"old"), ("half", b"old"), ("after", b"newest")):
        with pytest.raises(KeyboardInterrupt), writes.watched(stop(at)):
            storage.write_bytes(uri, b"newest")
        assert Path(uri).read_bytes() == left
        assert os.listdir(tmp_path) == ["run.json"]
    seen.clear()
    with writes.watched(stop("never")):
        storage.create_bytes(str(tmp_path / "lease.json"), b"1")
        storage.delete(uri)
        with storage.filling(str(tmp_path / "pixels.npy")) as temporary:
            temporary.write_bytes(b"2")
        storage.delete_tree(str(tmp_path))
    assert [operation for moment, operation in seen if moment == "before"] == [
        "create", "delete", "place", "delete_tree",
    ]  # fmt: skip


def test_uri_is_made_absolute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.normalize("faces/") == str(tmp_path / "faces")
    assert storage.normalize(f"file://{tmp_path}/faces") == str(tmp_path / "faces")
    assert storage.normalize("s3://bucket/prefix/") == "s3://bucket/prefix"
    for scheme in ("s3a", "s3n", "S3"):
        assert storage.normalize(f"{scheme}://Bucket/Key") == "s3://Bucket/Key"
    assert storage.normalize("gcs://bucket/x") == "gs://bucket/x"
    assert storage.normalize(f"file:{tmp_path}/faces") == str(tmp_path / "faces")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "ours")
    assert storage.normalize("wasbs://c@ours.blob.core.windows.net/x") == "az://c/x"
    assert storage.split_bucket("s3://bucket/a b/c%20d") == ("bucket", "a b/c%20d")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("ftp://b/x", "ftp:// is not supported: use a local path, s3://bucket/prefix, gs://"),
        ("s3://", "'s3://' names no bucket: write s3://bucket/prefix"),
        ("", "a path is empty: is it an unset variable?"),
        ("arn:aws:s3:::faces/x", "arn:aws:s3:::faces/x: write s3://faces/x"),
        ("https://faces.s3.eu-west-1.amazonaws.com/x", "amazonaws.com/x: write s3://faces/x"),
        ("https://storage.googleapis.com/faces/x", "googleapis.com/faces/x: write gs://faces/x"),
        ("https://a/1.jpg", "https://a/1.jpg is read from a list only: write it into a .txt"),
        ("file://nas/faces", "is on the host nas: give its path as this machine has it"),
        ("s3:/bucket/x", "'s3:/bucket/x' lacks a slash: write s3://bucket/prefix"),
        ("s3:bucket/x", "'s3:bucket/x' lacks a slash: write s3://bucket/prefix"),
    ],
)
def test_uri_of_another_kind_is_refused(uri: str, message: str) -> None:
    with pytest.raises(StorageError, match=re.escape(message)):
        storage.normalize(uri)


def fails(uri: str, message: str) -> None:
    with pytest.raises(StorageError, match=f"^{re.escape(message)}$"):
        storage.require_readable(uri, "`images`")


def test_missing_local_folder_is_one_sentence(tmp_path: Path) -> None:
    fails(f"{tmp_path}/none", f"`images` {tmp_path}/none does not exist: check the path")
    hint = "check the path; patterns are not read: give the folder"
    fails(f"{tmp_path}/*.jpg", f"`images` {tmp_path}/*.jpg does not exist: {hint}")


def test_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    uri = f"{tmp_path}/file/out"
    with pytest.raises(StorageError, match=rf"^`output` {re.escape(uri)} cannot be written: "):
        storage.require_writable(uri, "`output`")


def test_writable_place_is_left_as_it_was(place: str) -> None:
    storage.require_writable(place, "`output`")
    assert list(listing.list_files(place)) == []


def test_an_empty_prefix_is_refused(bucket: str) -> None:
    with pytest.raises(StorageError, match=f"{bucket}/none"):
        storage.require_readable(f"{bucket}/none", "`images`")


def test_missing_bucket_is_one_sentence(bucket: str, s3: S3Server) -> None:
    message = f"there is no bucket 'no-such-bucket' at {s3.endpoint}: check the name or create it"
    fails("s3://no-such-bucket/x", f"`images` s3://no-such-bucket/x: {message}")


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_key_is_told(bucket: str, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "wrong:wrong")
    with pytest.raises(StorageError, match=rf"{bucket.removeprefix('s3://')}.*{variable}"):
        storage.require_readable(f"{bucket}/x", "`images`")


def test_a_prefix_that_holds_nothing_is_one_sentence_to_a_role_that_may_not_read_the_prefix_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"

    def policy(request: BaseHTTPRequestHandler) -> Answer:
        """s3:ListBucket is granted, and s3:GetObject on faces/*, not on faces."""
        return 403 if request.command == "HEAD" else 200, {}, empty

    with served(handler(policy), monkeypatch):
        fails("s3://bucket/faces", "`images` s3://bucket/faces holds nothing: check the prefix")
