"""Groups of two workers, and what goes on from the network that they leave."""

import dataclasses
import re
import threading
import time
from pathlib import Path

import psutil
import pytest
import ray

from model.bundle import Bundle, read_bundle
from model.errors import UsageError
from model.preprocessing import InputSpec
from model.presets import preset
from model.recipes import Residual
from pipelines.manifests import manifest
from pipelines.manifests.sources.rows import Rows
from pipelines.reporting.model_card import write_card
from pipelines.scoring.evaluation import evaluate
from pipelines.training.job import open_start
from pipelines.training.run import train
from tests.pipelines.training.finished import Finished, small_recipe
from tests.runs import score_options, training_job

LARGER = dataclasses.replace(preset("demo").network, branch_units=65)
# Small pictures in the first two of three epochs; batch norm; trained by Muon.
GROWING = dataclasses.replace(
    preset("facemill-muon"), network=Residual(4, (8,), (1,)), input=InputSpec(48, 48, "rgb"),
    sides=((0.5, 24),), epochs=3, global_batch_size=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def by_two(faces_manifest: str, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Eight undisturbed epochs by two workers."""
    output = str(tmp_path_factory.mktemp("by-two"))
    options = training_job(small_recipe(8), faces_manifest, output, workers=2)
    return Finished(options, train(options))


def test_two_workers_train_a_bundle_that_scores_as_it_was_validated(
    by_two: Finished, tmp_path: Path
) -> None:
    assert len(by_two.result.history) == by_two.options.recipe.epochs
    scores_as_it_was_validated(by_two, tmp_path)


def test_so_do_they_if_pictures_grow_and_the_best_epoch_is_of_full_size(
    faces_manifest: str, tmp_path: Path
) -> None:
    options = training_job(GROWING, faces_manifest, str(tmp_path / "run"), workers=2)
    grown = Finished(options, train(options))
    assert len(grown.result.history) == GROWING.epochs
    assert grown.bundle.record["best_epoch"] == GROWING.epochs
    scores_as_it_was_validated(grown, tmp_path)


def scores_as_it_was_validated(run: Finished, folder: Path) -> None:
    """Scoring measures what training wrote down of its best epoch."""
    bundle, table = run.bundle, run.options.manifest
    assert bundle.id == run.result.bundle_id
    assert Path(run.options.output, "curves.png").read_bytes().startswith(b"\x89PNG")
    rows = manifest.labelled(manifest.read_manifest(table), "val")
    scoring = score_options(output=str(folder / "eval"), compute="float32")
    measured = evaluate(scoring, bundle, Rows(table, rows)).metrics
    stored = bundle.record["metrics"]["val"]
    assert measured["age_mae"].value == pytest.approx(stored["age_mae"]["value"], abs=1e-3)
    best = run.result.history[bundle.record["best_epoch"] - 1]
    assert measured["age_mae"].value == pytest.approx(best["val_age_mae"], abs=1e-3)
    assert measured["gender_accuracy"].value == pytest.approx(best["val_gender_accuracy"])
    assert measured["age_group_exact"].value <= measured["age_group_one_off"].value <= 1


def test_a_group_of_two_whose_worker_is_killed_resumes_to_the_weights_of_an_undisturbed_run(
    by_two: Finished, tmp_path: Path
) -> None:
    killed: list[int] = []
    killer = threading.Thread(target=_kill_worker, args=(tmp_path, killed), daemon=True)
    killer.start()
    resumed = train(dataclasses.replace(by_two.options, output=str(tmp_path)))
    assert len(killed) == 1, "no worker was killed, so nothing is proved"
    assert [row["epoch"] for row in resumed.history] == list(range(1, 9))
    assert resumed.bundle_id == by_two.result.bundle_id  # bit-equal weights


def _kill_worker(output: Path, killed: list[int]) -> None:
    """kill -9 one training worker as soon as the group's first checkpoint is there."""
    while not list(output.glob("checkpoints/checkpoint_*")):
        time.sleep(0.02)
    session = ray.get_runtime_context().get_session_name()  # nobody else's workers
    for process in psutil.process_iter(["cmdline"]):
        if not " ".join(process.info["cmdline"] or []).startswith("ray::RayTrainWorker"):
            continue
        raylet = process.parent()
        if raylet is not None and session in " ".join(raylet.cmdline()):
            process.kill()
            killed.append(process.pid)
            return


def card_of(bundle: Bundle, folder: Path) -> str:
    write_card(bundle, str(folder))
    return (folder / "MODEL_CARD.md").read_text()


def test_a_network_goes_on_from_the_weights_of_an_earlier_run(
    faces_manifest: str, by_two: Finished, tmp_path: Path
) -> None:
    first = by_two.options.output
    start = open_start(first, small_recipe(1))
    slow = dataclasses.replace(preset("demo").optimizer, learning_rate=1e-9)
    options = training_job(
        small_recipe(1, optimizer=slow), faces_manifest, str(tmp_path / "second"),
        start_from=first,
    )  # fmt: skip
    assert options.start == start
    another = {"images": 1, "sample": "0" * 10}  # of which the manifest here knows nothing
    second = train(dataclasses.replace(options, start=dataclasses.replace(start, seen=another)))
    best = min(row["val_loss"] for row in by_two.result.history)
    assert second.history[0]["val_loss"] == pytest.approx(best, rel=1e-3)
    bundle = read_bundle(Path(second.bundle_uri))
    assert bundle.record["training"]["start"] == start.sha256[:16]
    begun = by_two.bundle.record["training"]
    assert bundle.record["training"]["start_training"] == begun
    own = by_two.bundle.record["seen"]
    assert bundle.record["seen"]["images"] == own["images"] + 1
    assert bundle.record["seen"]["sample"] == f"{another['sample']} {own['sample']}"
    assert bundle.record["training"]["labels"] == "UTKFace"  # by the names of the files
    assert f"| start: run_id | {begun['run_id']} |" in card_of(bundle, tmp_path)
    repeated = bundle.record["training"]["options"]
    assert repeated["start_from"] == f"RUN-{start.sha256[:16]}"
    with pytest.raises(UsageError, match=r"\(start was '[0-9a-f]{16}', is None\)"):
        train(dataclasses.replace(options, start=None))
    with pytest.raises(UsageError) as error:
        open_start(first, dataclasses.replace(small_recipe(), network=LARGER))
    assert str(error.value) == (
        f"`start_from` {first} trained another network (network.branch_units was 64, "
        "is 65): give a run with the network and heads of demo"
    )
    with pytest.raises(UsageError, match=r"^`start_from` .+/none holds neither weights.npz nor "):
        open_start(str(tmp_path / "none"), small_recipe())


@pytest.fixture(scope="module")
def taught(
    faces_manifest: str, by_two: Finished, untrained: Bundle,
    tmp_path_factory: pytest.TempPathFactory,
) -> Finished:  # fmt: skip
    """An epoch that begins with the bundle of two workers, and with a teacher, and hardly moves."""
    slow = dataclasses.replace(preset("demo").optimizer, learning_rate=1e-9)
    alone = training_job(
        small_recipe(1, optimizer=slow), faces_manifest, str(tmp_path_factory.mktemp("taught")),
        start_from=by_two.result.bundle_uri, seed=1,
    )  # fmt: skip
    job = dataclasses.replace(alone, teachers=(untrained,))
    return Finished(job, train(job))


def test_a_network_goes_on_from_a_bundle(by_two: Finished, taught: Finished) -> None:
    best = min(row["val_loss"] for row in by_two.result.history)
    assert taught.result.history[0]["val_loss"] == pytest.approx(best, rel=1e-3)
    repeated = taught.bundle.record["training"]["options"]
    assert repeated["start_from"] == f"BUNDLE-{by_two.bundle.id}"


def test_a_network_learns_from_teachers_that_stay_part_of_what_the_run_is(
    taught: Finished, untrained: Bundle
) -> None:
    student = taught.bundle
    assert student.id != untrained.id
    assert student.record["training"]["teachers"] == [untrained.id]
    assert student.record["training"]["options"]["teachers"] == [f"BUNDLE-{untrained.id}"]
    assert train(taught.options).already_done
    alone = dataclasses.replace(taught.options, teachers=())
    with pytest.raises(UsageError, match=re.escape(f"(teachers was ['{untrained.id}'], is [])")):
        train(alone)
