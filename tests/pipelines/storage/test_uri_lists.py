"""A list of uris is a source like a folder: text, CSV or Parquet, of the web, of stores, local."""

import os
import re
import subprocess
import sys
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
from pipelines.storage.listing import list_files
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://a/1.jpg\nhttps://a/1.jpg", "line 2: https://a/1.jpg is listed twice, and"),
        ("https://me:word@a/1.jpg", "line 1 holds a credential or a signature, which would be"),
        ("https://a/1.jpg?X-Amz-Signature=00", "line 1 holds a credential or a signature, which"),
        ("https://", "line 1: 'https://' is not a web address"),
        ("ftp://a/1.jpg", "line 1: ftp:// is not supported: use a local path, s3://"),
    ],
)
def test_what_a_list_must_not_hold_is_refused_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(StorageError, match=f"^{tmp_path}/list.txt, {re.escape(message)}") as error:
        list(list_files(f"{tmp_path}/list.txt"))
    assert "word" not in str(error.value) and "Signature=" not in str(error.value)


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("id,age\n1,3\n")
    with pytest.raises(StorageError) as error:
        list(list_files(f"{tmp_path}/list.csv"))
    assert str(error.value) == (
        f"{tmp_path}/list.csv has no column of uris: it has id, age; name it uri or url, or give a "
        ".txt with one uri per line"
    )
    with pytest.raises(StorageError, match=r"^https://a/1.jpg is read from a list only: write it"):
        storage.normalize("https://a/1.jpg")


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
        (tmp_path / "list.txt").write_text("\n".join(lines[:4]))
        place = ["--images", f"{tmp_path}/list.txt", "--output"]
        score = [*place, f"{tmp_path}/out", "--faces", "crop", "--shard-rows", "2",
                 "--bundle", str(untrained.folder)]  # fmt: skip
        environment = {**os.environ, "FACEMILL_ALLOW_PRIVATE": "1"}

        def run(job: str, *arguments: str) -> None:
            command = [sys.executable, "-m", f"jobs.{job}", *arguments]
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=environment
            )
            assert done.returncode == 0, done.stdout + done.stderr

        run("ingest", *place, f"{tmp_path}/manifest", "--labels", f"{tmp_path}/labels.csv")
        manifest = read_manifest(f"{tmp_path}/manifest").to_pylist()
        assert {(r["uri"], r["age_years"]) for r in manifest} == {
            (f"{tmp_path}/local.jpg", 30.0), (uris[0], 40.0),
        }  # fmt: skip
        run("score", *score)
        lost = schemas.read_quarantine(f"{tmp_path}/out").to_pylist()
        assert [(row["uri"], row["error"]) for row in lost] == [(uris[2], "not_found")]
        server.files["gone.jpg"] = four
        (tmp_path / "list.txt").write_text("\n".join([*lines[:4], f"{server.url}/files/4.jpg"]))
        run("score", *score, "--on-existing", "update")
        run("score", *score, "--on-existing", "retry")
    assert schemas.read_predictions(f"{tmp_path}/out").num_rows == 5
    assert verify(f"{tmp_path}/out").problems == ()


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (pa.array([[255, 216, 255]], pa.list_(pa.uint8())), "its column image has type list"),
        (pa.array(["/9j/4AAQSkZJRgABAQ"]), "line 1 is an image in base64"),
        (pa.array(["data:image/png;base64,iVBO"]), "line 1 is an image in base64"),
        (pa.array(["x" * 9000]), "line 1 is not a uri: it has 9,000 characters"),
    ],
)
def test_pictures_that_are_no_bytes_are_not_taken_for_uris(
    tmp_path: Path, column: pa.Array, why: str
) -> None:
    """Their bytes would stand in every message and row."""
    pq.write_table(pa.table({"image": column}), tmp_path / "a.parquet")
    with pytest.raises(StorageError, match=why) as error:
        list(list_files(f"{tmp_path}/a.parquet"))
    assert len(str(error.value)) < 300 + len(str(tmp_path))


def test_a_dictionary_of_uris_is_a_list(tmp_path: Path) -> None:
    uris = ["https://a.example/1.jpg", "https://a.example/2.jpg"]
    table = pa.table({"uri": pa.array(uris).dictionary_encode()})
    pq.write_table(table, tmp_path / "a.parquet")
    assert [e.uri for e in list_files(f"{tmp_path}/a.parquet")] == uris
