"""One line a phase: searchable, with the run's id, and silent on a laptop."""

import json
from pathlib import Path

import pytest

from model.bundle import Bundle
from pipelines.manifests.ingest import ingest, write_ingested
from pipelines.manifests.manifest import labelled
from pipelines.manifests.options import IngestOptions
from pipelines.manifests.sources.rows import Rows
from pipelines.reporting.figures import collect
from pipelines.reporting.options import ReportOptions
from pipelines.scoring.evaluation import evaluate
from pipelines.storage import tables
from pipelines.telemetry import phases
from tests.runs import score_options


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FACEMILL_LOG", "FACEMILL_RUN_ID", "FACEMILL_JOB", "RAY_ADDRESS"):
        monkeypatch.setenv(name, "x")  # so that what the code sets is undone, too
        monkeypatch.delenv(name)


def test_a_phase_is_one_json_line_with_the_run_s_id_and_its_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACEMILL_LOG", "json")
    phases.begin_run("score")
    phases.adopt_run("5f0c")
    with phases.phase("freeze") as facts:
        facts["inputs"] = 18975
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found.pop("seconds") >= 0
    assert found == {
        "run_id": "5f0c", "job": "score", "phase": "freeze", "status": "ok", "inputs": 18975,
    }  # fmt: skip


def test_a_phase_that_fails_says_so_without_quoting_the_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACEMILL_LOG", "text")
    with pytest.raises(ValueError, match="tops3cr3t"), phases.phase("fit"):
        raise ValueError("tops3cr3t")
    line = capsys.readouterr().err
    assert "phase=fit status=failed" in line and "error=ValueError" in line
    assert "tops3cr3t" not in line


def test_a_phase_that_was_stopped_did_not_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACEMILL_LOG", "text")
    with pytest.raises(SystemExit), phases.phase("score"):
        raise SystemExit(143)
    assert "phase=score status=stopped" in capsys.readouterr().err


def test_silent_on_a_laptop_and_text_on_a_cluster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with phases.phase("freeze"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    with phases.phase("freeze"):
        pass
    assert "phase=freeze" in capsys.readouterr().err


def test_an_id_given_from_outside_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEMILL_RUN_ID", "nightly-7")
    phases.begin_run("train")
    assert phases.os.environ["FACEMILL_RUN_ID"] == "nightly-7"


def test_ingest_evaluate_and_report_say_their_phases_under_one_id(
    faces_dir: Path,
    untrained: Bundle,
    tmp_path: Path,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FACEMILL_LOG", "json")
    monkeypatch.setenv("FACEMILL_RUN_ID", "nightly-7")
    options = IngestOptions(str(faces_dir))
    found, output = ingest(options), str(tmp_path / "manifest")
    assert write_ingested(found, options, output)["run_id"] == "nightly-7"
    rows = labelled(found.table, "test")
    scoring = score_options(output=str(tmp_path / "evaluated"))
    evaluate(scoring, untrained, Rows(output, rows))
    assert tables.read_json(str(tmp_path / "evaluated" / "job.json"))["run_id"] == "nightly-7"
    assert tables.read_json(str(tmp_path / "evaluated" / "metrics.json"))["run_id"] == "nightly-7"
    collect(ReportOptions(str(tmp_path / "evaluated"), labels=output, split="test"))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line[:1] == "{"]
    assert [line["phase"] for line in lines] == [
        "list", "label", "hash", "write", "freeze", "score", "record", "measure", "summarise",
        "labels",
    ]  # fmt: skip
    assert {line["run_id"] for line in lines} == {"nightly-7"}
    assert lines[0]["files"] == 60
