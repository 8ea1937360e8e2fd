"""What ends a training: a bundle, whatever the test split holds; or a sentence."""

import time
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


def test_a_group_that_waits_for_room_that_is_gone_says_so(
    ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SILENT_S", 0.0)
    shown: list[str] = []
    Watchdog(ResourceRequest({"CPU": 1}, 2)).look("", True, shown.append)
    assert shown == []
    Watchdog(ResourceRequest({"CPU": 1, "GPU": 1}, 2)).look("", True, shown.append)
    assert [text.partition(";")[0] for text in shown] == [
        "waiting for 2 workers of 1 CPU and 1 GPU each: the cluster's only node has 4 CPU"
    ]


def test_a_driver_that_has_lost_its_output_or_whose_workers_hang_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = list[int]()
    monkeypatch.setattr(progress.os, "_exit", codes.append)
    monkeypatch.setattr(progress, "_HANGS_S", 0.0)
    lease = Lease(str(tmp_path))
    guard = Watchdog(ResourceRequest({"CPU": 1}, 1), lease)
    guard.look("", False, print)
    assert codes == []
    guard.look("no GPU here", False, print)  # said by a worker, and `fit` does not return
    assert codes == [1]
    assert "failed: no GPU here\n" in capsys.readouterr().err
    lease.lost = True  # as its heartbeat says when it reads another driver's name
    guard.look("", False, print)
    assert codes == [1, 1]
    assert f"failed: another driver has taken over `output` {tmp_path}" in capsys.readouterr().err


def test_a_watcher_prints_the_epochs_and_tells_its_watchdog_of_a_failure(
    ray_session: None, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, failures = list[object](), list[str]()
    guard = Watchdog(ResourceRequest({"CPU": 1}, 1))
    guard.look = lambda failure, is_silent, say: failures.append(failure)  # type: ignore
    board = open_board()
    row = {"epoch": 1, "train_loss": 1.0, "val_loss": 1.0, "images_per_s": 9.0}
    row |= {"val_gender_accuracy": 0.5, "val_age_mae": 4.0}
    ray.get([board.epoch_done.remote(row), board.fail.remote("no GPU here")])
    watcher = Watcher(board, RECIPE, rows.append, guard, part="fold 0")
    watcher.start()
    deadline = time.monotonic() + 60
    while not failures and time.monotonic() < deadline:
        time.sleep(0.05)
    watcher.stop()
    assert rows == [row] and {*failures} == {"no GPU here"}
    assert "fold 0: epoch   1/40" in capsys.readouterr().out


def test_small_images_neither_end_a_training_nor_hold_its_best_epoch() -> None:
    state = TrainState(epoch=9, best_epoch=3, best_loss=1.0)
    assert not state.stopped_early(None, small=False)
    assert not state.stopped_early(7, small=False)
    assert state.stopped_early(6, small=False)
    assert not state.stopped_early(6, small=True)
    assert state.is_best(0.9, grown=False) and not state.is_best(1.1, grown=False)
    assert state.is_best(1.1, grown=True)
