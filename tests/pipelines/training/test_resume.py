"""A run that was stopped goes on where it was; a run may stop by itself."""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from model.recipes import Optimizer
from pipelines.training.run import train
from tests.pipelines.training.finished import small_recipe
from tests.robustness.killing import kill_family
from tests.runs import training_job


def _steps_done(output: Path) -> list[tuple[int, int]]:
    """(epochs, steps of the next) of every checkpoint that is whole."""
    found: list[tuple[int, int]] = []
    for path in output.glob("checkpoints/checkpoint_*/state.json"):
        with contextlib.suppress(OSError, ValueError):
            state = json.loads(path.read_text())
            found.append((state["epoch"], state["step"]))
    return found


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_killed_driver_resumes_within_the_epoch_to_the_same_network(
    faces_manifest: str, tmp_path: Path
) -> None:
    recipe = small_recipe(3)
    whole = train(training_job(recipe, faces_manifest, str(tmp_path / "whole"), balance="age"))
    output = tmp_path / "killed"
    command = [
        sys.executable, "-m", "jobs.train", "--manifest", faces_manifest, "--output", str(output),
        "--preset", "demo", "--epochs", "3", "--global-batch-size", "8", "--balance", "age",
        "--checkpoint-every-steps", "1", "--cpus-per-worker", "1",
    ]  # fmt: skip
    quiet = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    driver = psutil.Popen(command, **quiet)
    deadline = time.monotonic() + 150
    while not any(step for epoch, step in _steps_done(output) if epoch == 1):
        assert driver.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kill_family(driver)
    driver.wait()
    assert not (output / "bundle").exists()
    assert (output / "decoded").is_dir()  # and is not decoded again
    resumed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    record = json.loads((output / "bundle" / "bundle.json").read_text())
    assert record["bundle_id"] == whole.bundle_id  # bit-equal weights
    for ours, theirs in zip(record["history"], whole.history, strict=True):
        for name in ours:
            if name.startswith(("train_", "val_")):
                assert ours[name] == pytest.approx(theirs[name], rel=1e-5), name
    assert not (output / "decoded").exists()
    table = pq.read_table(output / "history.parquet")
    assert 0 <= min(table["data_wait_share"].to_pylist()) < 1


@pytest.mark.timeout(200)
def test_a_run_that_learns_nothing_more_stops_and_keeps_the_best(
    faces_manifest: str, tmp_path: Path
) -> None:
    recipe = small_recipe(9, optimizer=Optimizer("sgd", 0.0))
    options = training_job(
        recipe, faces_manifest, str(tmp_path / "run"), workers=2, precision="bfloat16",
        early_stopping=2, keep_best=1, accumulate=2, cache=str(tmp_path / "cache"),
    )  # fmt: skip
    result = train(options)
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    assert sorted(_steps_done(tmp_path / "run"))[-1] == (3, 0)
    assert len(_steps_done(tmp_path / "run")) <= 2  # the best one and the last
    assert (
        len(list((tmp_path / "cache").glob("*[0-9a-f].npy"))) == 2
    )  # train and val, for later runs
    assert (tmp_path / "run" / "network.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    assert train(options).already_done
