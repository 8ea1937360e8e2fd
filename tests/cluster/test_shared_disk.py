"""A local place on a cluster whose nodes do not share that disk: refused before a row is lost."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.bundle import Bundle
from tests.cluster.nodes import ROOT, LocalCluster, local_cluster, may_mount

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

needs_namespaces = pytest.mark.skipif(
    not may_mount(), reason="needs root: a node with a disk of its own is a mount namespace"
)


def score(cluster: LocalCluster, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "jobs.score", "--faces", "crop", *map(str, arguments)]
    environment = {**cluster.env, "RAY_ADDRESS": cluster.address, "HOME": os.environ["HOME"]}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@needs_namespaces
def test_a_place_that_one_node_does_not_see_is_a_sentence(
    faces_dir: Path, untrained: Bundle, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    shutil.copytree(faces_dir, hidden / "faces")
    with local_cluster(1) as cluster:
        cluster.add_node(mounts=f'mount -t tmpfs none "{hidden}"')
        bundle = ("--bundle", untrained.folder)
        done = score(cluster, "--images", faces_dir, "--output", hidden / "out", *bundle)
        assert done.returncode == 2, done.stderr
        assert re.search(r"error: --output is a local path, and node \S+ does not", done.stderr)
        done = score(cluster, "--images", hidden / "faces", "--output", tmp_path / "out", *bundle)
        assert done.returncode == 2, done.stderr
        assert re.search(r"error: --images is a local path, and node \S+ does not", done.stderr)
        assert not (tmp_path / "out" / "predictions").exists()
        done = score(cluster, "--images", faces_dir, "--output", tmp_path / "good", *bundle)
        assert done.returncode == 0, done.stderr
