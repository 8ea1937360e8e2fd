"""What ends a training: a bundle, whatever the test split holds; or a sentence."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import ray

from model import baselines
from model.errors import UsageError
from model.presets import preset
from pipelines.bundles.labelled_images import LabelledImages
from pipelines.cluster.resources import ResourceRequest
from pipelines.configuration import build
from pipelines.manifests import manifest
from pipelines.storage.lease import Lease
from pipelines.training import progress
from pipelines.training.checkpoints import TrainState
from pipelines.training.options import TrainOptions
from pipelines.training.plan import require_labels
from pipelines.training.progress import Watchdog, Watcher, open_board
from pipelines.training.run import finish
from pipelines.training.worker import WorkerConfig, train_worker
from tests.runs import training_job

RECIPE = preset("demo")


def _without(table: pa.Table, column: str, split: str | None = None) -> pa.Table:
    """The manifest without a label, in one split or in all."""
    rows: pd.DataFrame = table.to_pandas().copy()  # Arrow's memory is read-only
    rows.loc[(rows["split"] == split) | (split is None), column] = None
    return pa.Table.from_pandas(rows, schema=manifest.MANIFEST_SCHEMA, preserve_index=False)


def test_a_test_split_that_is_kept_unlabelled_costs_no_bundle(
    faces_manifest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from model.networks import build_network

    table = manifest.read_manifest(faces_manifest)
    for label in ("age_years", "gender"):
        table = _without(table, label, "test")
    network = build_network(RECIPE.network, RECIPE.input.shape, RECIPE.heads)
    row = {"epoch": 1, "train_loss": 1.0, "val_loss": 1.0}
    for head in RECIPE.heads:
        measure = "mae" if head.kind == "value" else "accuracy"
        for split in ("train", "val"):
            row |= {f"{split}_{head.name}_loss": 1.0, f"{split}_{head.name}_{measure}": 0.5}
    details = {"recipe": RECIPE.to_json(), "history": [row], "training": {}}
    weights = [np.asarray(value) for value in network.get_weights()]
    job = training_job(RECIPE, faces_manifest, str(tmp_path))
    bundle = finish(job, weights, details, LabelledImages(table, RECIPE.input))
    assert list(bundle.record["metrics"]) == list(bundle.record["constants"]) == ["val"]
    assert "constant" in baselines.of_record(bundle.record, "val")  # it has not been trained
    assert (tmp_path / "bundle" / "bundle.json").exists()
    assert "note: test is not measured: the manifest has no labelled rows in split 'test'" in (
        capsys.readouterr().err
    )


def test_a_head_that_no_image_could_teach_is_refused(faces_manifest: str, tmp_path: Path) -> None:
    table = _without(manifest.read_manifest(faces_manifest), "gender")
    job = training_job(RECIPE, faces_manifest, str(tmp_path))
    with pytest.raises(UsageError, match=r"^no image of the train split has a gender label, which"):
        require_labels(job, table)


def test_a_gpu_that_tensorflow_does_not_find_is_a_sentence_and_no_slow_training(
    ray_session: None,
) -> None:
    board = open_board()
    options = build(TrainOptions, device="gpu")
    train_worker({"config": WorkerConfig(options, RECIPE, None, None, 1, board)})
    assert ray.get(board.failed.remote()).startswith(
        "`device` gpu: Ray counts a GPU on a worker's node, but TensorFlow there finds none: "
    )


@contextlib.contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Its thread runs meanwhile, and no longer: it would end a process that it should not."""
    watcher.start()
    try:
        yield
    finally:
        watcher.stop()
        watcher.join()


def soon(is_so: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_group_that_waits_for_room_that_is_gone_says_so(
    ray_session: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_SILENT_S", 0.1)
    shown: list[str] = []
    monkeypatch.setattr(progress.Progress, "interject", lambda _, text: shown.append(text))
    for ask, missing in (
        (ResourceRequest({"CPU": 1}, 2), False),
        (ResourceRequest({"CPU": 1, "GPU": 1}, 2), True),
    ):
        with watching(Watcher(open_board(), RECIPE, lambda _: None, Watchdog(ask))):
            soon(lambda: bool(shown), timeout_s=60 if missing else 1.5)
    assert shown
    assert {text.partition(";")[0] for text in shown} == {
        "waiting for 2 workers of 1 CPU and 1 GPU each: the cluster's only node has 4 CPU"
    }


def test_a_driver_that_has_lost_its_output_ends_before_it_writes_there_again(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    codes = list[int]()
    monkeypatch.setattr(progress.os, "_exit", codes.append)
    lease = Lease(str(tmp_path))
    watcher = Watcher(
        open_board(), RECIPE, lambda row: None, Watchdog(ResourceRequest({"CPU": 1}, 1), lease)
    )
    with watching(watcher):
        time.sleep(1)
        assert codes == []
        lease.lost = True  # as its heartbeat says when it reads another driver's name
        soon(lambda: bool(codes))
    assert set(codes) == {1}
    assert f"failed: another driver has taken over `output` {tmp_path}" in capsys.readouterr().err


def test_a_group_of_which_one_worker_cannot_go_on_and_the_others_hang_is_ended(
    ray_session: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = list[int]()
    monkeypatch.setattr(progress.os, "_exit", codes.append)
    monkeypatch.setattr(progress, "_HANGS_S", 1.0)
    board = open_board()
    watcher = Watcher(board, RECIPE, lambda row: None, Watchdog(ResourceRequest({"CPU": 1}, 1)))
    with watching(watcher):
        time.sleep(1.5)
        assert codes == []
        ray.get(board.fail.remote("no GPU here"))  # and `fit` does not return
        soon(lambda: bool(codes))
    assert set(codes) == {1}
    assert "failed: no GPU here\n" in capsys.readouterr().err


def test_early_stopping_waits_until_pictures_have_their_full_size() -> None:
    state = TrainState(epoch=9, best_epoch=3, best_loss=1.0)
    assert not state.stopped_early(None, small=False)
    assert not state.stopped_early(7, small=False)
    assert state.stopped_early(6, small=False)
    assert not state.stopped_early(6, small=True)


def test_the_first_epoch_of_larger_pictures_is_the_best_whatever_smaller_ones_scored() -> None:
    state = TrainState(epoch=3, best_epoch=3, best_loss=1.0)
    assert not state.is_best(1.1, grown=False)
    assert state.is_best(0.9, grown=False)
    assert state.is_best(1.1, grown=True)
