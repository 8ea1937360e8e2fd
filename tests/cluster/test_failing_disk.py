"""A disk with all that goes wrong on disks: its images are scored all the same, and ingested."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model.bundle import Bundle
from pipelines.storage import tables
from tests.failing_disk import on_failing_disk
from tests.runs import linked_faces


@pytest.fixture
def disk(faces_dir: Path, tmp_path: Path) -> Path:
    """Ten faces, of which two cannot be read; a folder, archives and files that are none."""
    folder = tmp_path / "disk"
    folder.mkdir()
    linked_faces(faces_dir, folder / "faces", 10)
    (folder / "lost+found").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    os.mkfifo(folder / "pipe.zip")
    (folder / "zero.tar.gz").symlink_to("/dev/zero")
    (folder / "broken.tar").write_bytes(b"no tar")
    (folder / "skip" / "deep").mkdir(parents=True)
    for name in ("skip/deep/a.jpg", "skip/b.zip", "c.gif"):
        (folder / name).write_bytes(b"excluded")
    return folder


def _ran(tmp_path: Path, job: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    there = on_failing_disk(
        tmp_path,
        ("link", "EPERM", "/output"),
        ("read", "EIO", "/00003.jpg"),
        ("read", "HANG", "/00005.jpg"),
        ("opendir", "EACCES", "lost+found"),
    )
    command = [sys.executable, "-m", f"jobs.{job}", *arguments]
    environment = {**there, "FACEMILL_READ_S": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def test_what_can_be_read_is_scored_and_what_cannot_is_a_row(
    disk: Path, tmp_path: Path, untrained: Bundle
) -> None:
    output = str(tmp_path / "output")
    done = _ran(
        tmp_path, "score", "--images", str(disk), "--output", output, "--faces", "crop",
        "--bundle", str(untrained.folder), "--exclude", "skip/*", "*.gif",
    )  # fmt: skip
    rows: list[dict[str, Any]] = tables.read_table(f"{output}/quarantine").to_pylist()
    found = {row["uri"].removeprefix(f"{disk}/"): f"{row['stage']}: {row['error']}" for row in rows}
    assert found == {
        "faces/00003.jpg": "read: unreadable",
        "faces/00005.jpg": "read: timeout",
        "lost+found/": "list: not_listed",
        "pipe.jpg": "read: not_a_file",
        "pipe.zip": "list: not_listed",
        "zero.tar.gz": "list: not_listed",
        "broken.tar": "list: not_listed",
    }
    assert tables.read_table(f"{output}/predictions").num_rows == 8
    assert "not listed   4 " in done.stdout
    assert "excluded     3 by --exclude" in done.stdout
    assert tables.read_json(f"{output}/run.json")["excluded"] == 3
    assert tables.read_json(f"{output}/job.json")["exclude"] == ["*.gif", "skip/*"]


def test_what_can_be_read_is_ingested_and_what_cannot_is_a_reject(
    disk: Path, tmp_path: Path
) -> None:
    output = str(tmp_path / "output")
    _ran(
        tmp_path, "ingest", "--images", str(disk), "--output", output, "--label-format", "none",
        "--exclude", "skip", "*.gif",
    )  # fmt: skip
    rows: list[dict[str, Any]] = tables.read_table(f"{output}/rejects").to_pylist()
    stages = {row["uri"].removeprefix(f"{disk}/"): row["stage"] for row in rows}
    assert stages == {
        "faces/00003.jpg": "read", "faces/00005.jpg": "read", "lost+found/": "list",
        "pipe.jpg": "read", "pipe.zip": "list", "zero.tar.gz": "list", "broken.tar": "list",
    }  # fmt: skip
    assert tables.read_table(f"{output}/manifest").num_rows == 8
    record = tables.read_json(f"{output}/manifest.json")
    assert record["options"]["exclude"] == ["*.gif", "skip"]
    assert "excluded: 3 files, by `exclude`" in record["notes"]
