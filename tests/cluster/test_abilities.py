"""A cluster whose machines differ: one way of computing in an output, a sentence where none is.

A machine without VNNI is a node that reads another /proc/cpuinfo.
"""

import json
import re
from pathlib import Path

import pytest

from model.backends.selection import abilities
from model.bundle import Bundle
from pipelines.predictions import frozen_inputs
from pipelines.predictions.verification import verify
from tests.cluster.nodes import local_cluster, may_mount
from tests.runs import linked_faces

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not may_mount(), reason="needs root: a node of its own /proc/cpuinfo"),
    pytest.mark.skipif("int8" not in abilities(), reason="needs a CPU with VNNI"),
]


@pytest.fixture
def without_vnni(tmp_path: Path) -> str:
    """The command after which a node knows of no VNNI."""
    flags = Path("/proc/cpuinfo").read_text()
    fake = tmp_path / "cpuinfo"
    fake.write_text(re.sub(r"\b(avx512_vnni|avx_vnni|amx_int8)\b", "", flags))
    return f'mount --bind "{fake}" /proc/cpuinfo'


def _command(faces: Path, output: Path, bundle: Bundle, *more: str) -> tuple[str, ...]:
    return (
        "jobs.score", "--faces", "crop", "--images", str(faces), "--output", str(output),
        "--bundle", str(bundle.folder), *more,
    )  # fmt: skip


def test_auto_takes_what_all_machines_have(
    faces_dir: Path, untrained: Bundle, tmp_path: Path, without_vnni: str
) -> None:
    with local_cluster(1) as cluster:
        cluster.add_node(mounts=without_vnni)
        job = cluster.submit(*_command(faces_dir, tmp_path / "8", untrained, "--compute", "int8"))
        assert cluster.wait(job)["status"] == "FAILED"
        logs = cluster.logs(job)
        assert "error: --compute int8 is not available: the CPU of a worker has no VNNI" in logs
        cluster.succeed(cluster.submit(*_command(faces_dir, tmp_path / "auto", untrained)))
        record = json.loads((tmp_path / "auto" / "run.json").read_text())
        assert (record["engine"], record["precision"]) in (
            ("openvino", "bfloat16"), ("openvino", "float32"),
        )  # fmt: skip


def test_a_machine_that_joins_later_and_cannot_takes_no_shard(
    faces_dir: Path, untrained: Bundle, tmp_path: Path, without_vnni: str
) -> None:
    images, output = linked_faces(faces_dir, tmp_path / "faces", 800), tmp_path / "out"

    def committed() -> int:
        return len(frozen_inputs.committed(str(output))) if output.is_dir() else 0

    with local_cluster(1) as cluster:
        job = cluster.submit(*_command(images, output, untrained, "--shard-rows", "10"))
        cluster.while_it_runs(job, lambda: committed() > 1, "two shards")
        (able,) = cluster.workers
        able.suspend("ShardScorer")
        joined = cluster.add_node(mounts=without_vnni)
        cluster.while_it_runs(job, lambda: joined.runs("ShardScorer"), "the new node to be used")
        able.resume("ShardScorer")
        cluster.succeed(job)
        assert json.loads((output / "run.json").read_text())["precision"] == "int8"
        proof = verify(str(output))
        assert (proof.problems, proof.scored) == ((), 800)
