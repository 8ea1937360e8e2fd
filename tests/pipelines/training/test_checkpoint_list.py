"""A run goes on from the last checkpoint that is whole, or from the start if none is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cluster.private import CHECKPOINT_LIST
from pipelines.training import checkpoints
from pipelines.training.checkpoints import TrainState, repair_checkpoint_list


def checkpoint(folder: Path, number: int, **state: Any) -> Path:
    made = folder / f"checkpoint_{number}"
    made.mkdir()
    weights = [np.arange(500, dtype=np.float32)]
    checkpoints.save(made, TrainState(epoch=number, **state), {"state": weights})
    return made


def broken(folder: Path) -> Path:
    """The list as a driver leaves it that was killed while it wrote it."""
    path = folder / CHECKPOINT_LIST
    path.write_text('{"latest": {"checkpoint')
    return path


@pytest.mark.parametrize("damage", ["cut", "flipped", "no state", "half a state"])
def test_a_checkpoint_that_is_not_whole_is_removed_and_the_one_before_it_is_named(
    tmp_path: Path, damage: str
) -> None:
    checkpoint(tmp_path, 1)
    row = {"epoch": 2.0, "val_loss": 3.0}
    checkpoint(tmp_path, 2, history=[row])
    last = checkpoint(tmp_path, 3)
    if damage in ("cut", "flipped"):
        data = bytearray((last / "state.npz").read_bytes())
        data[1000] ^= 1  # in the array: only the zip's checksum tells
        (last / "state.npz").write_bytes(data[:900] if damage == "cut" else data)
    elif damage == "no state":
        (last / "state.json").unlink()
    else:
        (last / "state.json").write_text("{}"[:1])
    path = broken(tmp_path)
    repair_checkpoint_list(str(tmp_path))
    assert [found.name for found in tmp_path.glob("checkpoint_*/")] == ["checkpoint_2"]
    listed = json.loads(path.read_text())
    assert "checkpoint_2" in json.dumps(listed)
    assert '"val_loss": 3.0' in json.dumps(listed)


def test_without_one_whole_checkpoint_there_is_no_list_so_training_starts_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkpoint(tmp_path, 1) / "state.json").unlink()
    path = broken(tmp_path)
    repair_checkpoint_list(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert f"{path} is incomplete" in capsys.readouterr().err


def test_a_whole_list_and_none_at_all_are_left_alone(tmp_path: Path) -> None:
    repair_checkpoint_list(str(tmp_path / "no such run"))
    repair_checkpoint_list(
        "s3://bucket/run/checkpoints"
    )  # a store takes a file whole or not at all
    half = checkpoint(tmp_path, 1)
    (half / "state.json").unlink()
    (tmp_path / CHECKPOINT_LIST).write_text("{}")
    repair_checkpoint_list(str(tmp_path))
    assert half.exists()
