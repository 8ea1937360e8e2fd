"""benchmarks/gpu: it packs what `jobs.train` learns, trains on JAX, and its weights come home."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.gpu.pack import pack
from benchmarks.gpu.train import STUDENT
from benchmarks.gpu.unpack import unpack
from model.networks import build_network
from model.presets import preset
from pipelines import storage
from pipelines.manifests import manifest
from pipelines.training import layout
from pipelines.training.checkpoints import unpacked
from pipelines.training.folds import folds_of
from pipelines.training.job import open_start
from pipelines.training.options import CrossValidation
from tests.runs import training_job

FOLDS = 3
# As the real command, with a network that a test can wait for.
ON_JAX = """
import dataclasses
import benchmarks.gpu.train as train
whole = train.preset
def preset(name):
    recipe = whole(name)
    network = dataclasses.replace(recipe.network, stem_filters=4, filters=(4, 8), blocks=(1, 1))
    taken = dataclasses.replace(recipe.input, width=16, height=16)
    return dataclasses.replace(recipe, network=network, input=taken, sides=())
train.preset = preset
train.main()
"""


@pytest.fixture(scope="module")
def packed(faces_manifest: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("packed")
    return folder, pack(faces_manifest, folder, FOLDS, parts=2)


def test_what_is_packed_is_what_each_fold_would_learn_and_the_files_bytes(
    packed: tuple[Path, pd.DataFrame], faces_manifest: str, tmp_path: Path
) -> None:
    folder, rows = packed
    table = manifest.labelled(manifest.read_manifest(faces_manifest), None)
    recipe = dataclasses.replace(preset("demo"), global_batch_size=8)
    job = training_job(
        recipe, faces_manifest, str(tmp_path), folds=FOLDS, conflicting_duplicates="mean"
    )
    for index, part in enumerate(folds_of(job, table)):
        name = layout.fold(index)
        assert rows[f"{name}_split"].tolist() == part.table["split"].to_pylist()
        for label in ("age_years", "gender"):
            true = manifest.codes(table, label)
            assert np.array_equal(rows[f"{name}_{label}"], true, equal_nan=True)
    assert {*rows["final_split"]} == {"train"}
    for uri, (part, offset, size) in zip(
        table["uri"].to_pylist(), rows[["part", "offset", "bytes"]].to_numpy(), strict=True
    ):
        data = (folder / f"images-{part}.bin").read_bytes()[offset : offset + size]
        assert data == storage.read_bytes(str(uri))


@pytest.mark.slow
def test_it_trains_on_jax_and_measures_each_fold(
    packed: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    pytest.importorskip("jax", reason="jax is missing: make setup")
    folder, rows = packed
    where = ["--packed", str(folder), "--pixels", str(tmp_path / "px")]
    size = ["--teacher-side", "24", "--teacher-width", "4", "--teachers", "1", "--batch", "8"]
    length = ["--epochs", "1", "--teacher-epochs", "1", "--only", "fold-1", "final"]
    quickly = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    jax = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": quickly}
    environment = {**os.environ, **jax}
    for what in ("decode", "train"):
        arguments = [what, *where, "--output", str(tmp_path / "out"), *size, *length]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", ON_JAX, *arguments],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    measured = (rows["fold-1_split"] == "test").sum()
    for network in ("teacher 0", "student"):
        mae, gender, count = record["fold-1"][network]["whole"]
        assert 0 < mae < 116
        assert 0 <= gender <= 1
        assert count == measured
    assert {*record["final"]} == {"seconds", "learned"}
    for name in ("fold-1", "final"):
        with np.load(tmp_path / "out" / f"{name}.npz") as found:
            assert all(np.isfinite(found[one]).all() for one in found.files)


def test_weights_come_home_as_what_a_training_with_folds_begins_with(
    packed: tuple[Path, Any], tmp_path: Path
) -> None:
    recipe = preset(STUDENT)
    network = build_network(recipe.network, recipe.input.shape, recipe.heads)
    made = tmp_path / "made"
    made.mkdir()
    names = [*map(layout.fold, range(FOLDS)), layout.FINAL]
    for number, name in enumerate(names):
        shifted: Any = {f"{i:04d}": w + number for i, w in enumerate(network.get_weights())}
        np.savez(made / f"{name}.npz", **shifted)
    record = {"run_id": "0", "device": "none", "options": {"teacher_side": 8, "epochs": 1.0}}
    record |= {name: {"learned": 1} for name in names}
    (made / "record.json").write_text(json.dumps(record))
    unpack(packed[0], made, tmp_path / "home")
    start = open_start(str(tmp_path / "home"), recipe, CrossValidation(folds=FOLDS, final=True))
    seen = json.loads((packed[0] / "seen.json").read_text())
    for number, name in enumerate(names):
        part = start.of(name)
        first, *_ = unpacked(storage.read_bytes(part.weights))
        assert first == pytest.approx(network.get_weights()[0] + number)
        assert part.seen == seen[name]
        typed = "python -m benchmarks.gpu.train train --teacher-side 8 --epochs 1"
        assert part.training["command"] == typed
