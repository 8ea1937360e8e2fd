"""Whoever dies, and whatever kills: every input is one row, and none is there twice."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model.bundle import Bundle
from model.errors import FacemillError
from pipelines.images.drawn_faces import draw_faces
from pipelines.predictions import schemas
from pipelines.predictions.verification import verify
from pipelines.scoring.run import score
from tests.deadly import DECODER, poisoned
from tests.killing import kill_tree
from tests.runs import score_options


@pytest.mark.timeout(240)
def test_images_that_kill_a_worker_cost_themselves_and_no_other_row(
    faces_dir: Path, untrained: Bundle, tmp_path: Path, ray_session: None
) -> None:
    folder = tmp_path / "deadly"
    folder.mkdir()
    for number, face in enumerate(sorted(faces_dir.glob("*.jpg"))[:9]):
        how = {2: "segv", 4: "hang", 6: "kill"}.get(number)
        data = face.read_bytes()
        (folder / f"{number}.jpg").write_bytes(poisoned(data, how) if how else data)
    options = score_options(
        images=(str(folder),),
        output=str(tmp_path / "out"),
        image_timeout_s=5.0,
        decoder=DECODER,
    )
    result = score(options, untrained)
    bad = schemas.read_quarantine(options.output).to_pandas()
    assert result.record["scored"] == 6
    assert dict(zip(bad["uri"].str[-5:], bad["error"], strict=True)) == {
        "2.jpg": "crashed", "4.jpg": "timeout", "6.jpg": "out_of_memory",
    }  # fmt: skip
    assert verify(options.output).problems == ()
    assert not (tmp_path / "out" / "attempts").exists()


def test_a_node_that_lost_the_code_for_a_moment_costs_no_run(
    faces_dir: Path, untrained: Bundle, tmp_path: Path, ray_session: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = tmp_path / "faces"
    folder.mkdir()
    face = next(faces_dir.glob("*.jpg")).read_bytes()
    for name in ("1.jpg", "2.jpg"):
        (folder / name).write_bytes(face)
    (folder / "3.jpg").write_bytes(poisoned(face, f"uncoded:{tmp_path / 'found'};"))
    options = score_options(
        images=(str(folder),), output=str(tmp_path / "out"), shard_rows=1, decoder=DECODER
    )
    assert score(options, untrained).record["scored"] == 3
    assert verify(options.output).problems == ()
    assert capsys.readouterr().err.count("lost facemill's code for a moment") == 1


def test_what_fails_in_a_worker_is_told_by_its_own_words(
    faces_dir: Path, untrained: Bundle, tmp_path: Path, ray_session: None
) -> None:
    (tmp_path / "faces").mkdir()
    face = next(faces_dir.glob("*.jpg")).read_bytes()
    (tmp_path / "faces" / "1.jpg").write_bytes(poisoned(face, "raise"))
    options = score_options(
        images=(str(tmp_path / "faces"),),
        output=str(tmp_path / "out"),
        decoder=DECODER,
    )
    with pytest.raises(
        FacemillError, match=r"^ZeroDivisionError: a bug of ours; what is scored is"
    ):
        score(options, untrained)


def _committed(output: Path) -> int:
    return len(list(output.glob("predictions/*.parquet")))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_killed_run_resumes_without_losing_or_repeating_a_row(
    untrained: Bundle, tmp_path: Path
) -> None:
    faces, output = tmp_path / "faces", tmp_path / "out"
    draw_faces(faces, 30, broken=2)
    for copy in range(14):  # enough shards to be killed between two of them
        for face in list(faces.glob("*.chip.jpg"))[:32]:
            shutil.copy(face, faces / f"copy{copy}_{face.name}")
    command = [
        sys.executable, "-m", "jobs.score", "--faces", "whole",
        "--images", str(faces), "--output", str(output),
        "--bundle", str(untrained.folder), "--shard-rows", "8",
    ]  # fmt: skip
    total = len(list(faces.iterdir()))
    log = tmp_path / "log"
    with log.open("w") as file:
        victim = subprocess.Popen(command, start_new_session=True, stdout=file, stderr=file)
    deadline = time.monotonic() + 100
    while _committed(output) < 3:
        assert time.monotonic() < deadline and victim.poll() is None, log.read_text()[-3000:]
        time.sleep(0.01)
    kill_tree(victim.pid)
    victim.wait()
    survived = _committed(output)
    assert 3 <= survived < total // 8, "the kill came too early or too late to prove anything"
    assert not (output / "run.json").exists()
    resumed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert "were there already" in resumed.stdout
    tables = (schemas.read_predictions, schemas.read_quarantine)
    rows = [uri for read in tables for uri in read(str(output))["uri"].to_pylist()]
    assert sorted(rows) == sorted(map(str, faces.iterdir()))
    assert verify(str(output)).problems == ()
