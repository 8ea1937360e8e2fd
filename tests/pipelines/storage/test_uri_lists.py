"""A list of uris is a source like a folder: text, CSV or Parquet, of the web, of stores, local."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.bundle import Bundle
from model.errors import StorageError
from pipelines import storage
from pipelines.manifests.manifest import read_manifest
from pipelines.predictions import schemas
from pipelines.predictions.verification import verify
from pipelines.storage.fetching import ReadFailure, fetch
from pipelines.storage.listing import list_files
from pipelines.storage.uri_lists import EMPTY, NO_URI, REPEATED
from tests.archives import pictures_of
from tests.web_server import serve_web

URIS = ["https://a.example/1.jpg?w=200", "s3://b/2.jpg", "gs://c/3", "/data/4.jpg", "deep/5.jpg"]


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "parquet"])
def test_lines_are_inputs(tmp_path: Path, place: str, kind: str) -> None:
    if kind == "parquet":
        pq.write_table(pa.table({"id": range(5), "URL": URIS}), tmp_path / "x")
        data = (tmp_path / "x").read_bytes()
    elif kind == "txt":
        data = ("\ufeff" + "\r\n\n".join(URIS) + "\n").encode()
    else:
        separator = {"csv": ";", "tsv": "\t"}[kind]
        data = "\n".join([f"id{separator}Url", *(f"1{separator}{u}" for u in URIS), ""]).encode()
    storage.write_bytes(f"{place}/list.{kind}", data)
    found = [entry.uri for entry in list_files(f"{place}/list.{kind}")]
    assert found == [*URIS[:4], f"{place}/deep/5.jpg"]


def test_a_list_that_lies_in_a_folder_is_a_file_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,age\n1.jpg,3\n")
    assert [entry.uri for entry in list_files(str(tmp_path))] == [f"{tmp_path}/labels.csv"]


MALFORMED = [
    ("https://me:word@a/1.jpg", "https://***@a/1.jpg", "credential or a signature"),
    ("https://a/1.jpg?w=1&X-Amz-Signature=word", "https://a/1.jpg?signature=***", "credential"),
    ("s3://b/1.jpg?access_key=word", "s3://b/1.jpg?signature=***", "credential or a signature"),
    ("https://", "https://", "is no address of the web"),
    ("https://a/1\t.jpg", "https://a/1\t.jpg", "is no address of the web"),
    ("ftp://a/1.jpg", "ftp://a/1.jpg", "ftp:// is not supported: use a local path, s3://"),
    ("s3:///1.jpg", "s3:///1.jpg", "names no bucket"),
    ("x" * 9000, f"{'x' * 60}…2d0d0d0d", "more than 4,096 characters"),
    ("/9j/4AAQSkZJRgABAQ", f"{'/9j/4AAQSkZJRgABAQ':_<60}…00000000", "an image in base64"),
]


def counted(uri: str) -> tuple[list[str], Counter[str]]:
    lines = Counter[str]()
    return [entry.uri for entry in list_files(uri, lines=lines)], lines


@pytest.mark.parametrize("kind", ["txt", "csv", "parquet"])
def test_a_malformed_line_is_a_row_and_says_why(tmp_path: Path, kind: str) -> None:
    texts = [text for text, *_ in MALFORMED]
    given = ["https://a/a b.jpg", *texts, "", "/d/2.jpg", "https://a/a%20b.jpg", texts[0]]
    if kind == "parquet":
        pq.write_table(pa.table({"uri": given}), tmp_path / "list.parquet")
    else:
        rows = given if kind == "txt" else ["uri,n", *(f"{text},1" for text in given)]
        (tmp_path / f"list.{kind}").write_text("\n".join(rows))
    uris, lines = counted(f"{tmp_path}/list.{kind}")
    assert uris[0] == "https://a/a%20b.jpg" and uris[-1] == "/d/2.jpg"
    assert dict(lines) == {NO_URI: len(MALFORMED), EMPTY: 1, REPEATED: 2}
    for uri, (_, shown, why) in zip(uris[1:-1], MALFORMED, strict=True):
        assert uri.partition("…")[0] == shown.partition("…")[0] and "word" not in uri
        failure = fetch({"uri": uri})
        assert isinstance(failure, ReadFailure)
        assert failure.reason == "bad_uri" and why in str(failure)


@pytest.mark.parametrize(("text", "why"), [(text, why) for text, _, why in MALFORMED])
def test_a_file_of_malformed_lines_alone_is_no_list(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "list.txt").write_text(f"\n{text}\n")
    with pytest.raises(StorageError, match=f"^{tmp_path}/list.txt, line 1: ") as error:
        list(list_files(f"{tmp_path}/list.txt"))
    assert why in str(error.value) and "word" not in str(error.value)
    assert len(str(error.value)) < 300 + len(str(tmp_path))
    (tmp_path / "list.txt").write_text("\n\n")
    with pytest.raises(StorageError, match="names no image"):
        list(list_files(f"{tmp_path}/list.txt"))


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("id,age\n1,3\n")
    with pytest.raises(StorageError) as error:
        list(list_files(f"{tmp_path}/list.csv"))
    assert "has no column of uris: it has id, age; name it uri or url" in str(error.value)


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_a_mixed_list_is_ingested_and_scored(
    faces_dir: Path, untrained: Bundle, tmp_path: Path
) -> None:
    one, two, three, four = pictures_of(faces_dir, 4)
    (tmp_path / "local.jpg").write_bytes(one)
    (tmp_path / "labels.csv").write_text("path,age,gender\nlocal.jpg,30,male\nface,40,female\n")
    with serve_web({"face": two, "3.jpg": three, "4.jpg": four}) as server:
        uris = [f"{server.url}/files/{name}" for name in ("face", "3.jpg", "gone.jpg")]
        lines = ["local.jpg", *uris, f"{server.url}/redirect/1?a=b"]
        (tmp_path / "list.txt").write_text("\n".join([*lines[:4], "", "ftp://a/1.jpg", lines[0]]))
        place = ["--images", f"{tmp_path}/list.txt", "--output"]
        score = [*place, f"{tmp_path}/out", "--faces", "crop", "--shard-rows", "2",
                 "--bundle", str(untrained.folder)]  # fmt: skip
        environment = {**os.environ, "FACEMILL_ALLOW_PRIVATE": "1"}

        def run(job: str, *arguments: str) -> str:
            command = [sys.executable, "-m", f"jobs.{job}", *arguments]
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=environment
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        said = run("ingest", *place, f"{tmp_path}/manifest", "--labels", f"{tmp_path}/labels.csv")
        assert "1 empty, 1 are no uri (bad_uri), 1 name an image again" in said
        manifest = read_manifest(f"{tmp_path}/manifest").to_pylist()
        assert {(r["uri"], r["age_years"]) for r in manifest} == {
            (f"{tmp_path}/local.jpg", 30.0), (uris[0], 40.0),
        }  # fmt: skip
        assert "excluded     2 empty lines of the list, or repeated ones" in run("score", *score)
        lost = schemas.read_quarantine(f"{tmp_path}/out").to_pylist()
        assert {(row["uri"], row["error"]) for row in lost} == {
            (uris[2], "not_found"), ("ftp://a/1.jpg", "bad_uri"),
        }  # fmt: skip
        server.files["gone.jpg"] = four
        (tmp_path / "list.txt").write_text("\n".join([*lines[:4], f"{server.url}/files/4.jpg"]))
        run("score", *score, "--on-existing", "update")
        run("score", *score, "--on-existing", "retry")
    assert schemas.read_predictions(f"{tmp_path}/out").num_rows == 5
    assert verify(f"{tmp_path}/out").problems == ()


def test_pictures_that_are_no_bytes_are_not_taken_for_uris(tmp_path: Path) -> None:
    column = pa.array([[255, 216, 255]], pa.list_(pa.uint8()))
    pq.write_table(pa.table({"image": column}), tmp_path / "a.parquet")
    with pytest.raises(StorageError, match="its column image has type list"):
        list(list_files(f"{tmp_path}/a.parquet"))


def test_a_line_with_a_separator_in_its_address_is_that_address_or_a_row(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("url\nhttps://a/1,2.jpg\nhttps://a/3.jpg\n")
    assert counted(f"{tmp_path}/one.csv")[0] == ["https://a/1,2.jpg", "https://a/3.jpg"]
    (tmp_path / "two.csv").write_text("id,url\n1,https://a/1,2.jpg\n2,https://a/3.jpg\n")
    uris, lines = counted(f"{tmp_path}/two.csv")
    assert uris == ["1,https://a/1,2.jpg", "https://a/3.jpg"] and lines[NO_URI] == 1
    assert getattr(fetch({"uri": "/d/a\0.jpg"}), "reason", "") == "bad_uri"  # of Parquet


def test_a_dictionary_of_uris_is_a_list(tmp_path: Path) -> None:
    uris = ["https://a.example/1.jpg", "https://a.example/2.jpg"]
    table = pa.table({"uri": pa.array(uris).dictionary_encode()})
    pq.write_table(table, tmp_path / "a.parquet")
    assert [e.uri for e in list_files(f"{tmp_path}/a.parquet")] == uris
