"""Stages go where their resources are, and Prometheus sees the rows.

The GPU is a number that Ray counts: no card is needed to place what asks for one.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model.bundle import Bundle
from pipelines import tables
from pipelines.verification import verify
from tests.cluster.nodes import ROOT, LocalCluster
from tests.s3_server import free_ports

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@dataclasses.dataclass(frozen=True)
class Scoring:
    """What a run printed and where it is."""

    logs: str
    output: str


@pytest.fixture(scope="module")
def scoring(
    cluster: LocalCluster, faces_dir: Path, untrained: Bundle, tmp_path_factory: Any
) -> Iterator[Scoring]:
    """A finished run on two nodes of a core and one of a GPU, in shards of 256 images."""
    gpu = cluster.add_node(cpus=0, gpus=1)
    folder = tmp_path_factory.mktemp("placed")
    images, output = folder / "faces", folder / "scored"
    images.mkdir()
    faces = sorted(faces_dir.iterdir())
    for number in range(2000):
        os.link(faces[number % len(faces)], images / f"{number:05d}.jpg")
    job = cluster.submit(
        "jobs.score", "--images", str(images), "--output", str(output),
        "--bundle", str(untrained.folder), "--precision", "float32", "--shard-rows", "256",
    )  # fmt: skip
    cluster.while_it_runs(job, lambda: counted(cluster, "done_total") > 0, "rows in the metrics")
    yield Scoring(cluster.succeed(job), str(output))
    cluster.kill_node(gpu)


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


def test_prometheus_answers_every_query_of_the_dashboard(
    cluster: LocalCluster, scoring: Scoring, tmp_path: Path
) -> None:
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is missing: apt-get install prometheus")
    board = json.loads((ROOT / "docs" / "grafana" / "facemill.json").read_text())
    queries = {t["expr"]: panel["title"] for panel in board["panels"] for t in panel["targets"]}
    nodes = [node for node in [cluster.head, *cluster.workers] if node]
    with prometheus(tmp_path, [node.metrics_url for node in nodes]) as ask:
        answers = {title: ask(query.replace("$run_id", ".*")) for query, title in queries.items()}
    # No row was quarantined, and the GPU is only a number.
    silent = {title for title, answer in answers.items() if not answer}
    assert silent <= {"Quarantine by reason", "Rows committed a second", "GPUs of each node"}
    shown = {title: float(answer[0]["value"][1]) for title, answer in answers.items() if answer}
    names = ("Inputs", "Scored", "Quarantined", "Pending", "Done", "Pending inputs")
    assert [shown[name] for name in names] == [2000, 2000, 0, 0, 1, 0]


@contextlib.contextmanager
def prometheus(folder: Path, targets: list[str]) -> Iterator[Callable[[str], list[Any]]]:
    """A Prometheus that scrapes often; gives a function from a query to its answer."""
    import requests
    import yaml

    (port,) = free_ports(1)
    hosts = [url.removeprefix("http://").removesuffix("/metrics") for url in targets]
    scrape = {"job_name": "ray", "static_configs": [{"targets": hosts}]}
    # A scrape of a busy node takes a second or two; it may take as long as the interval.
    settings = {
        "global": {"scrape_interval": "4s", "scrape_timeout": "4s"},
        "scrape_configs": [scrape],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    process = subprocess.Popen(
        ["prometheus", f"--config.file={folder}/prometheus.yml",
         f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def ask(query: str) -> list[Any]:
        answer = requests.get(
            f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, timeout=20
        ).json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]["result"]

    try:
        deadline = time.monotonic() + 60
        up: list[Any] = []
        while len(up) < len(hosts) and time.monotonic() < deadline:
            time.sleep(1)
            with contextlib.suppress(requests.RequestException):
                up = ask("sum_over_time(up[1m]) > 1")  # two good scrapes of each, for rates
        assert len(up) == len(hosts)
        yield ask
    finally:
        process.terminate()
        process.wait()
