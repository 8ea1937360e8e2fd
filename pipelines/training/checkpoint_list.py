"""What a kill can leave of Ray's list of checkpoints, and how a run goes on from there.

Ray Train 2.60 writes `checkpoint_manager_snapshot.json` in place. On a local disk a driver killed
in that write leaves half a file, and every later run would end in an error though the checkpoints
themselves are whole. (An object store takes a file whole or not at all.)
"""

import json
import shutil
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.training import checkpoints
from pipelines.training.checkpoints import TrainState

SNAPSHOT = "checkpoint_manager_snapshot.json"
_EMPTY = (
    "pending_training_results",
    "pending_validation_specs",
    "validated_checkpoint_dir_names",
    "timed_out_validation_checkpoint_dir_names",
    "failed_validation_checkpoint_dir_names",
)


def mend_checkpoint_list(folder: str) -> None:
    """Write the list anew if it is broken, naming the last whole checkpoint; else do nothing.

    Args:
        folder: of the checkpoints, local or s3://.
    """
    path = Path(folder) / SNAPSHOT
    if folder.startswith("s3://") or not path.is_file():
        return
    try:
        json.loads(path.read_text())
        return
    except ValueError:
        text = f"{path} was half written: going on from the last whole checkpoint"
        print(f"warning: {text}", file=sys.stderr, flush=True)
    whole: list[dict[str, Any]] = []
    for checkpoint in sorted(Path(folder).glob("checkpoint_*/"), reverse=True):
        state = None if whole else _whole(checkpoint)
        if state is None:
            shutil.rmtree(checkpoint)  # not in the list, so nobody would ever remove it
            continue
        metrics = state.history[-1] if state.history and not state.step else {"val_loss": 1e308}
        whole.append({"version": 0, "checkpoint_dir_name": checkpoint.name, "metrics": metrics})
    if not whole:
        path.unlink()
        return
    listed = {
        "ray_version": version("ray"),
        "checkpoint_results": whole,
        "checkpoint_report_indices": [0],
        "latest_checkpoint_result": whole[0],
        "current_report_index": 1,
        **{name: [] for name in _EMPTY},
    }
    storage.write_bytes(str(path), json.dumps(listed).encode())


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
