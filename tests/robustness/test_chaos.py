"""The small form of chaos.py: a driver, a worker and a node are killed, once each."""

import subprocess
import sys
from pathlib import Path

import pytest

from model.bundle import Bundle
from tests.runs import linked_faces

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killing_a_driver_a_worker_and_a_node_changes_no_row(
    faces_dir: Path, untrained: Bundle, tmp_path: Path
) -> None:
    # Enough shards to be killed between any two of them.
    faces = linked_faces(faces_dir, tmp_path / "faces", 1500)
    (faces / "broken.jpg").write_text("no image")
    command = [
        sys.executable, "-m", "tests.robustness.chaos", "--kills", "3", "--nodes", "2",
        "--images", str(faces), "--bundle", str(untrained.folder), "--shard-rows", "5",
        "--pause-s", "0.2", "--faces", "crop",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for kind in ("driver", "worker", "node"):
        assert f"killed {kind}" in done.stdout
    count = len(list(faces.iterdir()))
    assert f"{count:,} inputs = {count - 1:,} scored + 1 quarantined" in done.stdout
    assert "equal to the undisturbed run" in done.stdout
