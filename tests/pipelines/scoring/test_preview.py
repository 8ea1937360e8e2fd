"""A dry run says what the run would do."""

import shutil
from pathlib import Path

import pytest

from demo.drawn_faces import draw_faces
from model.bundle import Bundle
from pipelines.configuration import changed
from pipelines.manifests.sources.images import list_entries
from pipelines.scoring.options import ScoreOptions
from pipelines.scoring.preview import preview
from pipelines.storage import listing
from tests.runs import finished_run, score_options, scoring_job


@pytest.fixture
def finished(tmp_path: Path, untrained: Bundle) -> ScoreOptions:
    """A finished run over ten drawn faces, in shards of 4, 4 and 2."""
    draw_faces(tmp_path / "faces", 10, seed=2)
    (inputs,) = list_entries({"root": [str(tmp_path / "faces")], "descend": [True]})
    finished_run(str(tmp_path / "out"), untrained, inputs)
    return score_options(
        images=(str(tmp_path / "faces"),),
        output=str(tmp_path / "out"),
        shard_rows=4,
        compute="float32",
    )


def test_a_finished_run_has_nothing_left(finished: ScoreOptions, untrained: Bundle) -> None:
    found = preview(scoring_job(finished, untrained))
    assert (found.state, found.pending_inputs) == ("a finished run: nothing is left to do", 0)


def test_an_incremental_run_is_foreseen(finished: ScoreOptions, untrained: Bundle) -> None:
    names = sorted(entry.uri for entry in listing.list_files(finished.images[0]))
    Path(names[0]).unlink()
    Path(names[5]).write_bytes(b"changed")
    for number in range(5):
        shutil.copy(names[1], Path(finished.images[0], f"zz_new_{number}.jpg"))
    found = preview(scoring_job(changed(finished, on_existing="update"), untrained))
    assert found.state == "update: 5 new, 1 changed, 1 deleted"
    assert (found.inputs, found.pending_inputs) == (15, 4 + 5)
    assert (found.shards, found.pending_shards) == (5, 3)
