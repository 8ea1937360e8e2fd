"""`python -m jobs.ingest` as a person starts it: exit codes, one sentence, what it leaves."""

import json
import subprocess
import sys
from pathlib import Path

from pipelines.images.drawn_faces import draw_faces
from pipelines.manifests.manifest import read_manifest

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.ingest", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)


def test_help_names_every_option_and_exits_0() -> None:
    done = run("--help")
    assert done.returncode == 0
    for option in ("--images", "--output", "--labels", "--hash", "--split-seed", "--split-column"):
        assert option in done.stdout


def test_missing_folder_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    gone = tmp_path / "none"
    done = run("--images", gone, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr == f"error: --images {gone} does not exist: check the path\n"
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_split_that_is_none_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = run("--images", tmp_path, "--output", tmp_path / "out", "--split", "most,few")
    assert done.returncode == 2
    assert done.stderr == "error: --split most,few: give three shares such as 0.6,0.2,0.2\n"


def test_folder_becomes_manifest_rejects_and_record(tmp_path: Path) -> None:
    draw_faces(tmp_path / "images", 8, broken=3)
    done = run("--images", tmp_path / "images", "--output", tmp_path / "out")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert "11 = 10 manifest + 1 rejects" in done.stdout
    record = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (record["files"], record["manifest"], record["rejects"]) == (11, 10, 1)
    table = read_manifest(str(tmp_path / "out"))
    assert table.num_rows == 10
    assert sum(record["splits"].values()) == 10
    assert (tmp_path / "out/rejects/part-00000.parquet").exists()
