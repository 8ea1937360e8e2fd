"""Stages go where their resources are, and Prometheus sees the rows.

The GPU is a number that Ray counts: no card is needed to place what asks for one.
"""

import contextlib
import dataclasses
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model.bundle import Bundle
from pipelines.predictions.verification import verify
from pipelines.storage import tables
from tests.cluster.nodes import ROOT, LocalCluster, Node
from tests.runs import linked_faces
from tests.s3_server import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclasses.dataclass(frozen=True)
class Scoring:
    """What a run printed and where it is."""

    logs: str
    output: str


Ask = Callable[[str], list[float]]


@pytest.fixture(scope="module")
def gpu(cluster: LocalCluster) -> Iterator[Node]:
    """A node of one GPU and no core, beside two of one core each."""
    node = cluster.add_node(cpus=0, gpus=1)
    yield node
    cluster.kill_node(node)


@pytest.fixture(scope="module")
def ask(cluster: LocalCluster, gpu: Node, tmp_path_factory: Any) -> Iterator[Ask | None]:
    """What a Prometheus that scrapes all nodes answers, from before the run on; None without it."""
    if not shutil.which("prometheus"):
        yield None
        return
    nodes = [node for node in [cluster.head, *cluster.workers] if node]
    with prometheus(tmp_path_factory.mktemp("prometheus"), nodes) as ask:
        yield ask


@pytest.fixture(scope="module")
def scoring(
    cluster: LocalCluster, gpu: Node, ask: Ask | None, faces_dir: Path, untrained: Bundle,
    tmp_path_factory: Any,
) -> Scoring:  # fmt: skip
    """A finished run in shards of 256 images."""
    folder = tmp_path_factory.mktemp("placed")
    images, output = linked_faces(faces_dir, folder / "faces", 2000), folder / "scored"
    job = cluster.submit(
        "jobs.score", "--faces", "crop", "--images", str(images), "--output", str(output),
        "--bundle", str(untrained.folder), "--compute", "float32", "--shard-rows", "256",
    )  # fmt: skip
    cluster.while_it_runs(job, lambda: counted(cluster, "done_total") > 0, "rows in the metrics")
    return Scoring(cluster.succeed(job), str(output))


def counted(cluster: LocalCluster, name: str) -> float:
    """What Prometheus would read of one of our counters; the driver's node is the head."""
    found = cluster.head.metrics() if cluster.head else {}
    return sum(value for key, value in found.items() if key.startswith(f"ray_facemill_{name}{{"))


def state(cluster: LocalCluster, kind: str) -> list[dict[str, Any]]:
    """What Ray says of its actors, tasks or nodes, of those that have ended too."""
    return cluster.api(f"/api/v0/{kind}?limit=10000&detail=true")["data"]["result"]["result"]


def test_decoding_runs_where_cores_are_and_the_network_where_the_gpu_is(
    cluster: LocalCluster, scoring: Scoring
) -> None:
    assert "fetch and decode on 2 cores, network and write on 1 x a GPU" in scoring.logs
    assert "note: Ray counts GPUs, but TensorFlow beside them finds none" in scoring.logs
    assert verify(scoring.output).scored == 2000
    nodes = {node["node_id"]: node["resources_total"] for node in state(cluster, "nodes")}
    actors, tasks = state(cluster, "actors"), state(cluster, "tasks")
    scorers = {actor["node_id"] for actor in actors if "ShardScorer" in actor["class_name"]}
    decoders = {task["node_id"] for task in tasks if "_decode_chunk" in task["name"]}
    assert [nodes[node].get("GPU") for node in scorers] == [1]
    assert decoders
    assert all(nodes[node].get("CPU") == 1 and "GPU" not in nodes[node] for node in decoders)


def test_a_scrape_of_the_metrics_port_has_the_counts_of_the_run(
    cluster: LocalCluster, scoring: Scoring
) -> None:
    names = ("inputs_total", "done_total", "scored_total", "quarantined_total")
    assert [counted(cluster, name) for name in names] == [2000, 2000, 2000, 0]
    run = tables.read_json(f"{scoring.output}/job.json")["run_id"]
    assert cluster.head and any(f'run_id="{run}"' in key for key in cluster.head.metrics())


def test_prometheus_answers_every_query_of_the_dashboard(scoring: Scoring, ask: Ask | None) -> None:
    if ask is None:
        pytest.skip("prometheus is missing: apt-get install prometheus")
    board = json.loads((ROOT / "docs" / "grafana" / "facemill.json").read_text())
    queries = {t["expr"]: panel["title"] for panel in board["panels"] for t in panel["targets"]}

    # No row was quarantined, and the GPU is only a number.
    expected = set(queries.values()) - {"Quarantine by reason", "GPUs of each node"}

    def look() -> dict[str, list[float]]:
        shown: dict[str, list[float]] = {}
        for query, title in queries.items():  # a panel may have several
            shown.setdefault(title, []).extend(ask(query.replace("$run_id", ".*")))
        return shown

    # The last scrape may be of before the end, and a rate takes two; scrapes of a busy node fail.
    deadline = time.monotonic() + 60
    while True:
        shown = look()
        silent = {title for title in expected if not shown[title]}
        if (not silent and shown["Done"] == [1]) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert silent == set()
    names = ("Inputs", "Scored", "Quarantined", "Pending", "Done", "Pending inputs")
    assert [shown[name] for name in names] == [[2000], [2000], [0], [0], [1], [0]]


@contextlib.contextmanager
def prometheus(folder: Path, nodes: list[Node]) -> Iterator[Ask]:
    """A Prometheus that scrapes `nodes`; gives what it answers, as a panel of Grafana shows it."""
    import requests
    import yaml

    (port,) = free_ports(1)
    hosts = [node.metrics_url.removeprefix("http://").removesuffix("/metrics") for node in nodes]
    scrape = {"job_name": "ray", "static_configs": [{"targets": hosts}]}
    # A scrape of a busy node takes a second or two; it may take as long as the interval.
    often = {"scrape_interval": "3s", "scrape_timeout": "3s"}
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump({"global": often, "scrape_configs": [scrape]})
    )
    process = subprocess.Popen(
        ["prometheus", f"--config.file={folder}/prometheus.yml",
         f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def ask(query: str) -> list[float]:
        """The last value of each series in the last ten minutes."""
        now = time.time()
        answer = requests.get(
            f"http://127.0.0.1:{port}/api/v1/query_range", timeout=20,
            params={"query": query, "start": str(now - 600), "end": str(now), "step": "1"},
        ).json()  # fmt: skip
        assert answer["status"] == "success", (query, answer)
        return [float(series["values"][-1][1]) for series in answer["data"]["result"]]

    try:
        yield ask
    finally:
        process.terminate()
        process.wait()
