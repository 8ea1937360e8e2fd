"""Whoever dies, and whatever kills: every input is one row, and none is there twice."""

from pathlib import Path

import pytest

from model.bundle import Bundle
from model.errors import FacemillError
from pipelines.predictions import schemas
from pipelines.predictions.verification import verify
from pipelines.scoring.run import score
from tests.robustness.deadly import DECODER, poisoned
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
