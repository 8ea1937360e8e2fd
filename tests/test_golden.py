"""What release 0.1.0 left is loaded, verified and continued."""

import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.bundle import read_bundle
from model.preprocessing import InputSpec
from model.presets import preset
from model.recipes import PlainStack, Recipe
from pipelines.configuration import build, changed
from pipelines.manifests import manifest
from pipelines.manifests.ingest import ingest_to, require_own
from pipelines.manifests.options import IngestOptions
from pipelines.predictions.dataset import Partitioning, write_dataset
from pipelines.predictions.schemas import read_predictions
from pipelines.predictions.verification import verify
from pipelines.reporting.figures import collect
from pipelines.reporting.options import ReportOptions
from pipelines.scoring.options import ScoreOptions
from pipelines.training.job import prepare
from pipelines.training.options import TrainOptions
from pipelines.training.run import train
from tests.golden.make import EPOCH, PLACE
from tests.runs import score

FILES = Path(__file__).parent / "golden" / "0.1.0"


@pytest.fixture
def place() -> Iterator[Path]:
    """The golden files where their URIs say that they lie; nobody else's at the same time."""
    with open(f"{PLACE}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(PLACE, ignore_errors=True)
        shutil.copytree(FILES, PLACE)
        for path in (PLACE / "faces").iterdir():
            os.utime(path, (EPOCH, EPOCH))
        yield PLACE
        shutil.rmtree(PLACE)


def scoring(place: Path, output: str) -> ScoreOptions:
    return build(
        ScoreOptions, images=(str(place / "faces"),), bundle=str(place / "train" / "bundle"),
        output=str(place / output), compute="float32", shard_rows=8,
    )  # fmt: skip


def rows(output: Path) -> list[dict[str, object]]:
    return sorted(read_predictions(str(output)).to_pylist(), key=lambda row: str(row["uri"]))


def test_a_finished_output_is_verified_and_found_finished(place: Path, ray_session: None) -> None:
    assert verify(str(place / "score")).problems == ()
    before = rows(place / "score")
    options = scoring(place, "score")
    scored = score(options, read_bundle(place / "train" / "bundle"))
    assert scored.skipped == scored.record["inputs"] == 26
    assert rows(place / "score") == before
    layout = json.loads((place / "score" / "dataset.json").read_text())
    assert write_dataset(options.place, Partitioning()) == layout  # and is not written again


def test_a_half_done_output_is_continued_to_the_rows_of_the_finished_one(
    place: Path, ray_session: None
) -> None:
    half, finished = place / "score-half", place / "score"
    began = (half / "job.json").read_bytes()
    scored = score(scoring(place, "score-half"), read_bundle(place / "train" / "bundle"))
    assert scored.skipped == 8
    assert verify(str(half)).problems == ()
    ours, theirs = rows(half), rows(finished)
    for row, other in zip(ours, theirs, strict=True):
        assert list(row) == list(other)  # it keeps the columns that it was begun with
        for name, value in other.items():
            expected = pytest.approx(value, rel=1e-4) if isinstance(value, float) else value
            assert row[name] == expected, name  # another CPU rounds otherwise
    assert (half / "job.json").read_bytes() == began


def test_a_grown_source_is_added_to_a_finished_output(place: Path, ray_session: None) -> None:
    one = next((place / "faces").glob("*.jpg"))
    shutil.copy(one, one.with_name("new.jpg"))
    options = changed(scoring(place, "score"), on_existing="update")
    scored = score(options, read_bundle(place / "train" / "bundle"))
    assert scored.growth is not None
    assert (scored.growth.added, scored.growth.changed, scored.growth.deleted) == (1, 0, 0)
    assert verify(str(place / "score")).problems == ()


def test_a_manifest_is_read_and_refreshed_to_the_same_fingerprint(
    place: Path, ray_session: None
) -> None:
    before = json.loads((place / "manifest" / "manifest.json").read_text())
    table = manifest.read_manifest(str(place / "manifest"), ["uri", "age_years", "gender", "split"])
    assert manifest.fingerprint(table) == before["fingerprint"]
    options = IngestOptions(str(place / "faces"), split="0.5,0.25,0.25")
    require_own(options, str(place / "manifest"))
    assert ingest_to(options, str(place / "manifest"))["fingerprint"] == before["fingerprint"]


def tiny(epochs: int) -> Recipe:
    """The recipe of golden/make.py."""
    return dataclasses.replace(
        preset("demo"), network=PlainStack((4, 8), branch_units=8), input=InputSpec(32, 32, "grey"),
        epochs=epochs, global_batch_size=4,
    )  # fmt: skip


def training(place: Path, output: str, epochs: int) -> TrainOptions:
    return build(
        TrainOptions, manifest=str(place / "manifest"), output=str(place / output),
        preset="demo", epochs=epochs, global_batch_size=4,
    )  # fmt: skip


def test_a_finished_training_is_found_finished_and_its_bundle_keeps_its_id(
    place: Path, ray_session: None
) -> None:
    bundle = read_bundle(place / "train" / "bundle")
    job = prepare(training(place, "train", 3), tiny(3))
    trained = train(job)
    assert trained.already_done
    assert trained.bundle_id == bundle.id


def test_a_killed_training_goes_on_from_its_checkpoint(place: Path, ray_session: None) -> None:
    (checkpoint,) = place.glob("train-half/checkpoints/checkpoint_*/state.json")
    first = json.loads(checkpoint.read_text())["history"]
    assert len(first) == 1
    trained = train(prepare(training(place, "train-half", 20), tiny(20)))
    assert len(trained.history) == 20
    assert dict(trained.history[0]) == first[0]  # read back, not trained again


def test_an_evaluation_of_before_is_reported_on(place: Path, ray_session: None) -> None:
    options = ReportOptions(str(place / "evaluate"), labels=str(place / "manifest"), split=None)
    figures = collect(options)
    assert figures["counts"]["scored"] == 24
