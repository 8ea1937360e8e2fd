"""Progress of scoring: it moves while a large shard is under way, and counts no row twice."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from model.bundle import Bundle
from pipelines.scoring import progress
from pipelines.scoring.progress import Reporter, ScoreProgress
from pipelines.scoring.run import score
from tests.robustness.deadly import DECODER, poisoned
from tests.runs import score_options


def soon(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


def test_rows_under_way_are_shown_and_none_is_counted_twice(
    ray_session: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_REPORT_S", 0.0)
    monkeypatch.setattr(progress, "_LOOK_S", 0.05)
    with ScoreProgress(100) as shown:
        first, second = Reporter(shown.tally, 0), Reporter(shown.tally, 1)
        first.add(20)
        first.add(10)
        assert soon(lambda: shown.done == 30)
        shown.commit(0, 38, 2)
        assert shown.done == 40
        first.add(5)  # late, of a shard that is committed
        second.add(10)
        assert soon(lambda: shown.done == 50)
        time.sleep(0.3)
        assert shown.done == 50
        Reporter(shown.tally, 1).add(3)  # its worker died: the shard begins anew
        time.sleep(0.3)
        assert shown.done == 50
        shown.commit(1, 60, 0)
    assert "score: 100 / 100 images" in capsys.readouterr().err
    assert "2 quarantined" in shown._note  # pyright: ignore[reportPrivateUsage]


def test_a_single_large_shard_shows_progress_before_it_is_done(
    faces_dir: Path,
    untrained: Bundle,
    tmp_path: Path,
    ray_session: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    (folder / "0.jpg").write_bytes(poisoned(next(faces_dir.glob("*.jpg")).read_bytes(), "slow"))
    for number in range(1, 320):
        os.link(folder / "0.jpg", folder / f"{number}.jpg")
    options = score_options(
        images=(str(folder),),
        output=str(tmp_path / "out"),
        shard_rows=320,
        decoder=DECODER,
    )
    score(options, untrained)
    shown = [int(n) for n in re.findall(r"score: (\d+) / 320 images", capsys.readouterr().err)]
    assert shown[-1] == 320
    assert any(0 < count < 320 for count in shown)
