"""jobs.evaluate as a person starts it: of a manifest's split, and of a folder without one."""

import re
from pathlib import Path

import pytest

from demo.drawn_faces import draw_faces
from model.bundle import Bundle
from pipelines.storage import tables
from tests.jobs.conftest import RunJob

FIGURES = (
    "age MAE, years", "age RMSE, years", "age bias, years", "age within 5 years", "age group exact",
    "... or the next one", "gender accuracy", "gender AUC",
)  # fmt: skip


@pytest.mark.timeout(240)
def test_a_split_and_a_folder_are_measured_with_intervals(
    faces_manifest: str, faces_dir: Path, untrained: Bundle, tmp_path: Path, run_job: RunJob
) -> None:
    for number, place in enumerate((("--manifest", faces_manifest), ("--images", faces_dir))):
        output = tmp_path / str(number)
        done = run_job("evaluate", *place, "--bundle", untrained.folder, "--output", output)
        assert done.returncode == 0, done.stderr
        assert f"evaluated {untrained.name} ({untrained.id})" in done.stdout
        for name in FIGURES:
            assert re.search(rf"(?m)^  {re.escape(name)}  +\S+ .*\(\S+ to \S+\)$", done.stdout), (
                name
            )
        measured = tables.read_json(str(output / "metrics.json"))
        whole = len(list(faces_dir.iterdir()))
        assert (measured["images"] == whole) == (number == 1)
        assert f"{measured['images']} scored, 0 quarantined" in done.stdout


def test_a_folder_of_which_no_image_can_be_scored_has_no_metrics(
    untrained: Bundle, tmp_path: Path, run_job: RunJob, ray_session: None
) -> None:
    paths = draw_faces(tmp_path / "faces", 2)
    for path in paths:
        path.write_bytes(path.read_bytes()[:3000])  # labelled by name, and cut short
    done = run_job(
        "evaluate", "--images", tmp_path / "faces", "--bundle", untrained.folder,
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: none of the 2 images could be scored")
    assert not (tmp_path / "out" / "metrics.json").exists()
