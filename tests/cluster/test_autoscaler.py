"""From no workers at all: Ray's own autoscaler starts the nodes that a job asks for.

Its cloud is this machine (Ray's fake provider); what it decides and what we ask of it is real. It
is version 2, as `ray up` and KubeRay start it.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.predictions.verification import verify
from tests.cluster.nodes import ROOT, LocalCluster

IDS = {
    name: "f" * 51 + "00000"
    for name in ("RAY_OVERRIDE_NODE_ID_FOR_TESTING", "RAY_CLOUD_INSTANCE_ID")
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def empty() -> Iterator[LocalCluster]:
    """A head of no cores that may start two nodes of a core and one with a GPU that Ray counts."""
    fake = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    cluster = LocalCluster({**fake, **IDS, "RAY_enable_autoscaler_v2": "1"})
    try:
        cluster.start(0, autoscaling=config(cluster.address))
        yield cluster
    finally:
        cluster.stop()


def config(gcs_address: str) -> dict[str, object]:
    """What cluster.yaml is on AWS."""
    module = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
    store = 150 * 2**20

    def nodes(most: int, **resources: int) -> dict[str, object]:
        return {"resources": resources, "node_config": {}, "min_workers": 0, "max_workers": most}

    steps = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray")
    nothing = [f"{step}_commands" for step in (*steps, "worker_start_ray")]
    return {
        **{key: [] for key in (*nothing, "cluster_synced_files", "rsync_exclude", "rsync_filter")},
        "file_mounts": {}, "file_mounts_sync_continuously": False, "upscaling_speed": 1.0,
        "cluster_name": "fake", "max_workers": 3, "idle_timeout_minutes": 10, "auth": {},
        "provider": {
            "type": "external", "module": module, "gcs_address": gcs_address,
            "head_node_id": IDS["RAY_CLOUD_INSTANCE_ID"], "launch_multiple": True,
            "disable_node_updaters": True, "disable_launch_config_check": True,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": nodes(0),
            "cpu": nodes(2, CPU=1, object_store_memory=store),
            "gpu": nodes(1, CPU=1, GPU=1, object_store_memory=store),
        },
    }  # fmt: skip


def run(cluster: LocalCluster, *command: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """`python -m …` with RAY_ADDRESS, not `ray job submit`.

    All nodes of this cloud share the folder into which a node that joins unpacks the code of a
    submitted job, under the feet of the others. Machines have one each.
    """
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**cluster.env, "RAY_ADDRESS": cluster.address, **env}, timeout=240,
    )  # fmt: skip


def test_a_job_on_a_cluster_without_workers_waits_for_the_nodes_that_it_has_asked_for(
    empty: LocalCluster, faces_dir: Path, tmp_path: Path
) -> None:
    output = str(tmp_path / "scored")
    done = run(
        empty, "jobs.score", "--faces", "crop", "--images", str(faces_dir), "--output", output
    )
    assert done.returncode == 0, done.stderr
    waited = r"waiting for a worker of 1 CPU: the cluster's only node has 0 CPU; \w+ more (is|are) "
    assert re.search(waited + "being started", done.stderr)
    proof = verify(output)
    assert (proof.problems, proof.scored) == ((), len(list(faces_dir.iterdir())))


def test_what_its_autoscaler_may_not_start_is_refused(
    empty: LocalCluster, faces_manifest: str, tmp_path: Path
) -> None:
    done = run(
        empty, "jobs.train", "--manifest", faces_manifest, "--output", str(tmp_path / "train"),
        "--preset", "demo", "--device", "gpu", "--workers", "2", FACEMILL_PATIENCE_S="6",
    )  # fmt: skip
    assert done.returncode == 1
    assert "this job asks for 2 workers of 1 CPU and 1 GPU each, but the cluster's " in done.stderr
    assert "no more are being started. Waited 6 s: add nodes or ask for less" in done.stderr
