"""Repairs Ray's list of checkpoints where a kill has left half of it.

Ray Train 2.60 writes `checkpoint_manager_snapshot.json` in place. On a local disk a driver killed
in that write leaves half a file, and every later run would end in an error though the checkpoints
themselves are whole. (An object store takes a file whole or not at all.)
"""

import contextlib
import json
import zipfile
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.cluster.private import CHECKPOINT_LIST, checkpoint_list
from pipelines.telemetry.log import note
from pipelines.training import checkpoints
from pipelines.training.checkpoints import TrainState


def repair_checkpoint_list(folder: str) -> None:
    """Write the list anew if it is broken, naming the last whole checkpoint; else do nothing.

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
        return checkpoints.load_state(checkpoint)
    except (OSError, ValueError, TypeError, zipfile.BadZipFile):
        return None
