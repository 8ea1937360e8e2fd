"""`jobs.ingest` as a person starts it: exit codes, one sentence, what it leaves."""

import json
from pathlib import Path

from demo.drawn_faces import draw_faces
from pipelines.manifests.manifest import read_manifest
from tests.jobs.conftest import RunJob


def test_missing_folder_is_one_line_and_exit_code_2(tmp_path: Path, run_job: RunJob) -> None:
    gone = tmp_path / "none"
    done = run_job("ingest", "--images", gone, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr == f"error: --images {gone} does not exist: check the path\n"
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_split_that_is_none_is_one_line_and_exit_code_2(tmp_path: Path, run_job: RunJob) -> None:
    images = tmp_path / "images"
    images.mkdir()
    done = run_job(
        "ingest", "--images", images, "--output", tmp_path / "out", "--split", "most,few"
    )
    assert done.returncode == 2
    assert done.stderr == "error: --split most,few: give three shares such as 0.6,0.2,0.2\n"


def test_folder_becomes_manifest_rejects_and_record(
    tmp_path: Path, run_job: RunJob, ray_session: None
) -> None:
    draw_faces(tmp_path / "images", 8, broken=3)
    done = run_job("ingest", "--images", tmp_path / "images", "--output", tmp_path / "out")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert "11 = 10 manifest + 1 rejects" in done.stdout
    record = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (record["files"], record["manifest"], record["rejects"]) == (11, 10, 1)
    table = read_manifest(str(tmp_path / "out"))
    assert table.num_rows == 10
    assert sum(record["splits"].values()) == 10
    assert (tmp_path / "out/rejects/part-00000.parquet").exists()
