"""Whose output it is, what would be done, and what a resume keeps."""

import dataclasses
from pathlib import Path

import pytest

from model.bundle import Bundle
from model.errors import ManifestError, UsageError
from model.predictor import fastest_precision
from pipelines.scoring.claim import ScoreOptions, claim, new_version, resolved
from pipelines.scoring.dry_run import plan
from pipelines.storage import tables
from tests.bundles import untrained_bundle
from tests.runs import finished_run


@pytest.fixture
def options(faces_dir: Path, tmp_path: Path) -> ScoreOptions:
    return ScoreOptions(str(faces_dir), "images", str(tmp_path / "out"), "auto", shard_rows=25)


def test_auto_is_the_fastest_here_and_a_resume_keeps_it(
    options: ScoreOptions, untrained: Bundle
) -> None:
    assert resolved(options).precision == fastest_precision()
    claim(dataclasses.replace(options, precision="float16"), untrained, None)
    assert resolved(options).precision == "float16"
    with pytest.raises(UsageError, match="precision was 'float16', is 'bfloat16'"):
        claim(dataclasses.replace(options, precision="bfloat16"), untrained, None)


def test_other_views_are_another_run_and_older_runs_took_one(
    options: ScoreOptions, untrained: Bundle
) -> None:
    options = dataclasses.replace(options, precision="float32")
    claim(options, untrained, None)
    with pytest.raises(UsageError, match="views was 1, is 2"):
        claim(dataclasses.replace(options, views=2), untrained, None)
    marker = f"{options.output}/job.json"
    older = tables.read_json(marker)
    del older["views"]
    tables.write_json(marker, older)
    assert claim(options, untrained, None).run_id == older["run_id"]
    with pytest.raises(UsageError, match="views was 1, is 2"):
        claim(dataclasses.replace(options, views=2), untrained, None)


def test_an_unresolved_precision_never_reaches_a_worker(options: ScoreOptions) -> None:
    with pytest.raises(ValueError, match="resolve the options first"):
        _ = options.concrete_precision


def test_a_plan_counts_and_writes_nothing(options: ScoreOptions, untrained: Bundle) -> None:
    found = plan(options, untrained)
    files = len(list(Path(options.source).iterdir()))
    assert (found.inputs, found.inputs_exact, found.pending_inputs) == (files, True, files)
    assert found.shards == found.pending_shards == -(-files // 25)
    assert found.state == "a new run"
    assert not Path(options.output).exists()


def test_a_plan_of_an_interrupted_and_of_a_finished_run(tmp_path: Path, untrained: Bundle) -> None:
    output = str(tmp_path / "out")
    finished_run(output, untrained, [f"/f/{i}.jpg" for i in range(10)])
    options = ScoreOptions(str(tmp_path / "faces"), "images", output)
    assert plan(options, untrained).state == "a finished run: nothing is left to do"
    Path(output, "predictions", "shard-00001.parquet").unlink()
    found = plan(options, untrained)
    assert (found.state, found.pending_shards, found.pending_inputs, found.inputs) == (
        "an interrupted run, continued", 1, 4, 10,
    )  # fmt: skip


def test_a_plan_for_an_empty_folder_says_so(tmp_path: Path, untrained: Bundle) -> None:
    (tmp_path / "faces").mkdir()
    options = ScoreOptions(str(tmp_path / "faces"), "images", str(tmp_path / "out"))
    with pytest.raises(ManifestError, match="there is nothing to score"):
        plan(options, untrained)


def test_a_new_version_goes_beside_and_is_found_again(
    options: ScoreOptions, untrained: Bundle, tmp_path: Path
) -> None:
    other = untrained_bundle(tmp_path / "other", seed=1)
    claim(resolved(options), untrained, None)
    assert new_version(options, untrained).output == options.output
    beside = new_version(options, other)
    assert beside.output == f"{options.output}/v2"
    claim(beside, other, None)
    assert new_version(options, other).output == beside.output
    assert tables.read_json(f"{beside.output}/job.json")["bundle_id"] == other.id
