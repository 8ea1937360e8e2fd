"""Whatever pictures come from: a scoring that is killed and continued leaves a folder's rows."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from model.bundle import Bundle
from pipelines import storage
from pipelines.predictions import frozen_inputs, schemas
from pipelines.predictions.verification import verify
from tests.archives import parquet_of, pictures_of, tar_of, zip_of
from tests.robustness.killing import kill_tree
from tests.web_server import serve_web

COUNT, PACKED = 480, 16  # pictures, and how many of them an archive holds
NAMES = [f"{i:03}.jpg" for i in range(COUNT)]
Place = Callable[[dict[str, bytes], str], str]  # (pictures by name, a folder) -> what `images` is


@pytest.fixture(scope="module")
def pictures(faces_dir: Path) -> dict[str, bytes]:
    """Pictures by name, one of them none."""
    faces = pictures_of(faces_dir, 40)
    return {name: b"none" if i == 7 else faces[i % 40] for i, name in enumerate(NAMES)}


def _packs(pictures: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
    for start in range(0, COUNT, PACKED):
        yield {name: pictures[name] for name in NAMES[start : start + PACKED]}


def _files(pictures: dict[str, bytes], folder: str) -> str:
    for name, data in pictures.items():
        storage.write_bytes(f"{folder}/{name}", data)
    return folder


def _one_zip(pictures: dict[str, bytes], folder: str) -> str:
    storage.write_bytes(f"{folder}.zip", zip_of(pictures))
    return f"{folder}.zip"


def _tars(pictures: dict[str, bytes], folder: str) -> str:
    for number, pack in enumerate(_packs(pictures)):
        storage.write_bytes(f"{folder}/{number:02}.tar.gz", tar_of(pack))
    return folder


def _parquet(pictures: dict[str, bytes], folder: str) -> str:
    for number, pack in enumerate(_packs(pictures)):
        names = {"name": pa.array(list(pack))}
        data = parquet_of(list(pack.values()), names, group_rows=8)
        storage.write_bytes(f"{folder}/train-{number:02}.parquet", data)
    return folder


def _list(pictures: dict[str, bytes], folder: str) -> str:
    lines = [f"{os.environ['PICTURES']}/files/{name}" for name in pictures]
    Path(f"{folder}.txt").write_text("\n".join(lines))
    return f"{folder}.txt"


def _command(images: str, output: str, bundle: Bundle) -> list[str]:
    return [
        sys.executable, "-m", "jobs.score", "--faces", "crop", "--images", images,
        "--output", output, "--bundle", str(bundle.folder), "--shard-rows", "8",
    ]  # fmt: skip


def _rows(output: str) -> list[dict[str, Any]]:
    """All rows of both tables by the number of the picture, without its uri."""
    found = list[dict[str, Any]]()
    for read in (schemas.read_predictions, schemas.read_quarantine):
        for row in read(output).to_pylist():
            uri = str(row.pop("uri"))
            row.pop("message", None)
            number = uri.rpartition("/")[2].removesuffix(".jpg").rpartition("#")[2]
            if ".parquet#" in uri:
                number = int(uri.partition(".parquet#")[0][-2:]) * PACKED + int(number)
            found.append({"number": int(number), **row})
    return sorted(found, key=lambda row: row["number"])


@pytest.fixture(scope="module")
def undisturbed(
    pictures: dict[str, bytes], untrained: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """The rows of a plain folder."""
    folder = tmp_path_factory.mktemp("undisturbed")
    images, output = _files(pictures, str(folder / "faces")), str(folder / "out")
    subprocess.run(_command(images, output, untrained), check=True, capture_output=True)
    return _rows(output)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("where", "put"),
    [
        ("local", _one_zip), ("local", _tars), ("local", _parquet), ("web", _list),
        ("gs_bucket", _files), ("az_container", _files), ("bucket", _one_zip), ("bucket", _parquet),
    ],
)  # fmt: skip
def test_a_scoring_that_is_killed_and_continued_leaves_the_rows_of_a_folder(
    where: str, put: Place, pictures: dict[str, bytes], untrained: Bundle, tmp_path: Path,
    undisturbed: list[dict[str, Any]], request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    root = str(tmp_path) if where in ("local", "web") else request.getfixturevalue(where)
    output = f"{root}/out"
    with serve_web(pictures) if where == "web" else contextlib.nullcontext() as server:
        if server is not None:
            monkeypatch.setenv("FACEMILL_ALLOW_PRIVATE", "1")
            monkeypatch.setenv("PICTURES", server.url)
        command = _command(put(pictures, f"{root}/faces"), output, untrained)
        log = tmp_path / "log"
        with log.open("w") as file:
            victim = subprocess.Popen(command, start_new_session=True, stdout=file, stderr=file)
        deadline = time.monotonic() + 120
        while len(frozen_inputs.committed(output)) < 3:
            assert time.monotonic() < deadline and victim.poll() is None, log.read_text()[-3000:]
            time.sleep(0.01)
        kill_tree(victim.pid)
        victim.wait()
        assert not storage.exists(f"{output}/run.json"), "the kill came too late to prove anything"
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "already done" in done.stdout
    assert verify(output).problems == ()
    assert _rows(output) == undisturbed
