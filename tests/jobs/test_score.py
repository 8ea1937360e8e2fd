"""jobs.score as a person starts it: what it says of a run, of the same again, of a grown folder."""

import re
from pathlib import Path

import pytest

from demo.drawn_faces import draw_faces
from model.bundle import Bundle
from tests.jobs.conftest import RunJob


def row(printed: str, name: str) -> str:
    """The value of a row of a summary."""
    found = re.search(rf"(?m)^  {re.escape(name)}  +(.+)$", printed)
    assert found is not None, printed
    return found[1]


@pytest.mark.timeout(240)
def test_a_run_the_same_again_and_a_grown_folder_are_told_in_figures(
    untrained: Bundle, tmp_path: Path, run_job: RunJob, ray_session: None
) -> None:
    draw_faces(tmp_path / "faces", 9, seed=6, broken=1)
    (tmp_path / "faces" / "notes.txt").write_text("no image")
    command = (
        "score", "--faces", "crop",
        "--images", tmp_path / "faces", "--output", tmp_path / "out", "--bundle",
        untrained.folder, "--compute", "float32", "--shard-rows", "6", "--workers", "1",
    )  # fmt: skip
    foreseen = run_job(*command, "--dry-run")
    assert foreseen.returncode == 0, foreseen.stderr
    assert "dry run: nothing was started or written" in foreseen.stdout
    assert row(foreseen.stdout, "inputs") == "11, 11 to score"
    assert row(foreseen.stdout, "shards") == "2, 2 to score"
    assert not (tmp_path / "out").exists()

    first = run_job(*command)
    assert first.returncode == 0, first.stderr
    assert f"scored with {untrained.name} ({untrained.id})" in first.stdout
    assert (row(first.stdout, "inputs"), row(first.stdout, "scored")) == ("11", "9")
    assert row(first.stdout, "other files").startswith("1, ")
    assert row(first.stdout, "quarantined") == "1 (1 decode: truncated)"
    assert re.search(r"s start-up, then [\d,]+ images/s$", row(first.stdout, "time"))
    assert row(first.stdout, "please note").startswith("estimates, not for age gating")

    for name in ("new", "newer"):
        data = next((tmp_path / "faces").glob("*.jpg")).read_bytes()
        (tmp_path / "faces" / f"zz_{name}.jpg").write_bytes(data)
    again = run_job(*command)
    assert row(again.stdout, "note").endswith("since that run are scored with --on-existing update")
    (tmp_path / "faces" / "notes.txt").unlink()
    grown = run_job(*command, "--on-existing", "update", "--partition-by", "gender")
    assert grown.returncode == 0, grown.stderr
    assert row(grown.stdout, "inputs") == "13; 11 already done"
    assert row(grown.stdout, "since last run") == "2 new, 0 changed, 1 deleted (deleted.parquet)"
    assert row(grown.stdout, "scored") == "11"
    assert row(grown.stdout, "rows").startswith("11 in ")
    assert row(grown.stdout, "partitions") == "gender"
    assert list((tmp_path / "out" / "dataset").glob("gender=*/*.parquet"))


def test_a_folder_of_files_none_of_which_can_be_scored_points_to_its_quarantine(
    untrained: Bundle, tmp_path: Path, run_job: RunJob, ray_session: None
) -> None:
    draw_faces(tmp_path / "faces", 0, broken=2)
    done = run_job(
        "score", "--faces", "crop",
        "--images", tmp_path / "faces", "--output", tmp_path / "out", "--bundle",
        untrained.folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert row(done.stdout, "scored") == "0"
    assert f'read_parquet("{tmp_path}/out/quarantine")' in row(done.stdout, "next")
