"""Whose output it is, what would be done, and what a resume keeps."""

from pathlib import Path
from typing import Any

import pytest

from model.backends.selection import Compute, abilities, choose
from model.bundle import Bundle
from model.errors import ManifestError, UsageError
from pipelines.configuration import changed
from pipelines.manifests.sources import open_source
from pipelines.scoring.job import prepare
from pipelines.scoring.options import ScoreOptions
from pipelines.scoring.plan import Plan, claim, new_version, plan
from pipelines.scoring.preview import preview
from pipelines.storage import tables
from tests.bundles import untrained_bundle
from tests.runs import finished_run, plan_of, score_options


@pytest.fixture
def options(faces_dir: Path, tmp_path: Path) -> ScoreOptions:
    return score_options(images=(str(faces_dir),), output=str(tmp_path / "out"), shard_rows=25)


def _job(options: ScoreOptions, bundle: Bundle, **values: Any) -> Plan:
    """The job that the options with some values changed mean."""
    options = changed(options, **values)
    return plan_of(options, bundle, open_source(options.images, options.manifest))


def test_auto_is_the_fastest_here_and_a_resume_keeps_it(
    options: ScoreOptions, untrained: Bundle
) -> None:
    fastest = choose("auto", "auto", untrained, abilities())
    assert _job(options, untrained).compute == fastest
    claim(_job(options, untrained, compute="float16"))
    assert _job(options, untrained).compute == Compute("tensorflow", "float16")
    with pytest.raises(UsageError, match="precision was 'float16', is 'bfloat16'"):
        claim(_job(options, untrained, compute="bfloat16"))


def test_other_views_are_another_run_and_older_runs_took_one(
    options: ScoreOptions, untrained: Bundle
) -> None:
    options = changed(options, compute="float32")
    claim(_job(options, untrained))
    with pytest.raises(UsageError, match="views was 1, is 2"):
        claim(_job(options, untrained, tta=2))
    marker = f"{options.output}/job.json"
    older = tables.read_json(marker)
    del older["views"]
    tables.write_json(marker, older)
    assert claim(_job(options, untrained)).run_id == older["run_id"]
    with pytest.raises(UsageError, match="views was 1, is 2"):
        claim(_job(options, untrained, tta=2))


def test_another_kind_of_source_is_another_run(options: ScoreOptions, untrained: Bundle) -> None:
    claim(_job(options, untrained))
    with pytest.raises(UsageError, match=r"images was '.*', is None; manifest was None, is '.*'"):
        claim(_job(options, untrained, images=(), manifest=str(options.place)))


def test_the_options_of_a_run_are_saved_and_can_be_given_back(
    options: ScoreOptions, untrained: Bundle
) -> None:
    options = changed(options, tta=2, max_quarantine="5%")
    claim(_job(options, untrained))
    saved = tables.read_json(f"{options.output}/job.json")["options"]
    assert score_options(**saved) == options
    assert "coverage" not in saved  # what was not chosen may get a better default


def test_saved_places_hold_from_whatever_folder_they_are_given_back(
    options: ScoreOptions, untrained: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    claim(_job(changed(options, output="here", bundle="runs/bundle"), untrained))
    saved = tables.read_json(f"{tmp_path}/here/job.json")["options"]
    assert (saved["output"], saved["bundle"]) == (f"{tmp_path}/here", f"{tmp_path}/runs/bundle")


def test_a_plan_counts_and_writes_nothing(options: ScoreOptions, untrained: Bundle) -> None:
    found = preview(_job(options, untrained))
    files = len(list(Path(options.images[0]).iterdir()))
    assert (found.inputs, found.inputs_exact, found.pending_inputs) == (files, True, files)
    assert found.shards == found.pending_shards == -(-files // 25)
    assert found.state == "a new run"
    assert not Path(options.place).exists()


def test_a_plan_of_an_interrupted_and_of_a_finished_run(tmp_path: Path, untrained: Bundle) -> None:
    output = str(tmp_path / "out")
    finished_run(output, untrained, [f"/f/{i}.jpg" for i in range(10)])
    options = score_options(images=(str(tmp_path / "faces"),), output=output)
    assert preview(_job(options, untrained)).state == "a finished run: nothing is left to do"
    Path(output, "predictions", "shard-00001.parquet").unlink()
    found = preview(_job(options, untrained))
    assert (found.state, found.pending_shards, found.pending_inputs, found.inputs) == (
        "an interrupted run, continued", 1, 4, 10,
    )  # fmt: skip


def test_a_plan_for_an_empty_folder_says_so(tmp_path: Path, untrained: Bundle) -> None:
    (tmp_path / "faces").mkdir()
    options = score_options(images=(str(tmp_path / "faces"),), output=str(tmp_path / "out"))
    with pytest.raises(ManifestError, match="there is nothing to score"):
        preview(_job(options, untrained))


def test_a_new_version_goes_beside_and_is_found_again(
    options: ScoreOptions, untrained: Bundle, tmp_path: Path
) -> None:
    other = untrained_bundle(tmp_path / "other", seed=1)
    claim(_job(options, untrained))
    assert new_version(prepare(options, untrained)).output == options.output
    beside = new_version(prepare(options, other))
    assert beside.output == f"{options.output}/v2"
    claim(plan(beside))
    assert new_version(prepare(options, other)).output == beside.output
    assert tables.read_json(f"{beside.output}/job.json")["bundle_id"] == other.id
