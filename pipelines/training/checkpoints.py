"""What a training checkpoint holds: variables as .npz (never pickled), the rest as JSON."""

import contextlib
import dataclasses
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import TrainingError
from pipelines import storage
from pipelines.cluster.private import CHECKPOINT_LIST, checkpoint_list
from pipelines.telemetry.log import note

Arrays = list[npt.NDArray[Any]]


@dataclasses.dataclass
class TrainState:
    """Where a run stands, beside the variables.

    Attributes:
        epoch: epochs done.
        history: a row for each.
        best_epoch: counted from 1; -1 before the first. Early stopping counts from it.
        best_loss: its validation loss.
        step: steps done of the epoch in progress.
        sums: score sums of those steps over all workers, (heads, 3).
        seconds: that those steps took.
        waited_s: of which for data.
        skipped: steps that float16 gave up in the epochs done.
    """

    epoch: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list[dict[str, float]])
    best_epoch: int = -1
    best_loss: float = float("inf")
    step: int = 0
    sums: list[list[float]] = dataclasses.field(default_factory=list[list[float]])
    seconds: float = 0.0
    waited_s: float = 0.0
    skipped: int = 0

    def end_epoch(self, row: dict[str, float]) -> None:
        """The epoch in progress is done, with this row."""
        self.epoch, self.step, self.sums = self.epoch + 1, 0, []
        self.seconds = self.waited_s = 0.0
        self.history.append(row)

    def is_best(self, val_loss: float, grown: bool) -> bool:
        """Whether no epoch has been better; `grown`: the first one of larger images always is.

        What images of another size scored does not compare, and the bundle takes them full size.
        """
        return grown or val_loss < self.best_loss

    def stopped_early(self, patience: int | None, small: bool) -> bool:
        """Whether `patience` epochs have gone by without a better validation loss.

        Not while images are `small`: the network of the bundle is to have seen the full size.
        """
        return (
            not small and bool(patience) and self.epoch - max(self.best_epoch, 0) >= (patience or 0)
        )


def save(folder: Path, state: TrainState, arrays: dict[str, Arrays]) -> None:
    """Write a checkpoint: each list of arrays as `{name}.npz`, the state as state.json."""
    for name, values in arrays.items():
        (folder / f"{name}.npz").write_bytes(packed(values))
    (folder / "state.json").write_text(json.dumps(dataclasses.asdict(state)))


def packed(values: Sequence[npt.NDArray[Any]]) -> bytes:
    """Arrays as the bytes of a .npz, named by their place."""
    buffer = io.BytesIO()
    named: dict[str, Any] = {f"{i:04d}": value for i, value in enumerate(values)}
    np.savez(buffer, **named)
    return buffer.getvalue()


def unpacked(data: bytes) -> Arrays:
    """The arrays of `packed`, in order; pickled data is refused."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return [arrays[key] for key in sorted(arrays.files)]


def load_state(folder: str | Path) -> TrainState:
    """The state of a checkpoint.

    Raises:
        ValueError: its file is damaged.
        TrainingError: a newer facemill wrote it.
    """
    state: dict[str, Any] = json.loads((Path(folder) / "state.json").read_text())
    strange = sorted(set(state) - {field.name for field in dataclasses.fields(TrainState)})
    if strange:
        raise TrainingError(
            f"checkpoint {folder} was written by a newer facemill (it says {', '.join(strange)}): "
            "update this checkout, or choose another `output`"
        )
    return TrainState(**state)


def load_arrays(folder: str | Path, name: str) -> Arrays:
    """The arrays of `{name}.npz` of a checkpoint, in order; pickled data is refused."""
    return unpacked((Path(folder) / f"{name}.npz").read_bytes())


def assign_all(variables: Sequence[Any], values: Sequence[npt.NDArray[Any]]) -> None:
    """Give each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def repair_checkpoint_list(folder: str) -> None:
    """Write Ray's list anew if it is broken, naming the last whole checkpoint; else do nothing.

    Ray Train 2.60 writes it in place. On a local disk a driver killed in that write leaves half a
    file, and every later run would end in an error though the checkpoints themselves are whole. (An
    object store takes a file whole or not at all.)

    Args:
        folder: of the checkpoints, local or s3://.
    """
    path = Path(folder) / CHECKPOINT_LIST
    if not storage.is_local(folder) or not path.is_file():
        return
    try:
        json.loads(path.read_text())
        return
    except ValueError:
        text = f"{path} is incomplete: continuing from the last complete checkpoint"
        note(f"warning: {text}")
    latest: tuple[str, dict[str, Any]] | None = None
    for checkpoint in sorted(Path(folder).glob("checkpoint_*/"), reverse=True):
        state = None if latest else _whole(checkpoint)
        if state is None:
            with contextlib.suppress(OSError):  # not in the list: what is left costs disk only
                storage.delete_tree(str(checkpoint))
            continue
        metrics = state.history[-1] if state.history and not state.step else {"val_loss": 1e308}
        latest = (checkpoint.name, metrics)
    if latest is None:
        storage.delete(str(path))
        return
    storage.write_bytes(str(path), json.dumps(checkpoint_list(*latest)).encode())


def _whole(checkpoint: Path) -> TrainState | None:
    """The state of a checkpoint all of whose files can be read, else None."""
    try:
        for path in checkpoint.glob("*.npz"):
            with zipfile.ZipFile(path) as archive:
                if archive.testzip():
                    return None
        return load_state(checkpoint)
    except (OSError, ValueError, TypeError, zipfile.BadZipFile):
        return None
