"""A transcript for docs/operations.md: `python -m tests.cluster.transcript --images FOLDER`.

Submit, lose a node, go on, grow, lose the head, submit again, verify: training and scoring on a
head and two workers of this machine; each line with the seconds since the start.
"""

import argparse
import itertools
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pipelines.predictions import frozen_inputs
from tests.cluster.nodes import ROOT, LocalCluster, local_cluster

STARTED = time.monotonic()


def say(text: str) -> None:
    """Print with the clock."""
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


def submitted(
    cluster: LocalCluster, *command: str, env_vars: Mapping[str, str] | None = None
) -> str:
    """Submit and say so."""
    say("$ ray job submit --working-dir . -- python -m " + " ".join(command))
    return cluster.submit(*command, env_vars=env_vars)


def until(is_so: Callable[[], bool]) -> None:
    """Wait."""
    while not is_so():
        time.sleep(0.1)


def ended(cluster: LocalCluster, job: str, shown: str) -> None:
    """Wait for a job; show the lines of its log that `shown` finds."""
    details = cluster.wait(job, 1200)
    for line in cluster.logs(job).splitlines():
        if re.search(shown, line):
            print(f"{'':10}{line}")
    say(f"{details['status']}, exit code {details['driver_exit_code']}")


def lose_a_node(cluster: LocalCluster) -> None:
    """Kill -9 all processes of a node."""
    cluster.kill_node(cluster.workers[0])
    say("a worker node is killed (kill -9 of its raylet, agents and workers)")


def join_a_node(cluster: LocalCluster) -> None:
    """Start another one."""
    started = time.monotonic()
    cluster.add_node()
    say(f"a new node has joined, {time.monotonic() - started:.1f} s after it was started")


def epochs(cluster: LocalCluster, job: str) -> int:
    """How many the job has told of."""
    return len(re.findall(r"(?m)^epoch +\d+/", cluster.logs(job)))


def train(cluster: LocalCluster, manifest: str, output: str) -> None:
    """Training that loses one node of two, goes on with the other, and grows again."""
    job = submitted(
        cluster, "jobs.train", "--manifest", manifest, "--output", output, "--preset", "demo",
        "--epochs", "30", "--workers", "2", "--min-workers", "1", "--cpus-per-worker", "1",
        env_vars={"FACEMILL_RESIZE_S": "5"},
    )  # fmt: skip
    until(lambda: epochs(cluster, job) >= 2)
    say("two epochs are done")
    lose_a_node(cluster)
    before = epochs(cluster, job)
    until(lambda: epochs(cluster, job) > before + 1)
    say("the worker that is left has done an epoch alone")
    join_a_node(cluster)
    until(lambda: cluster.workers[-1].runs("RayTrainWorker"))
    say("the group starts again, with the new node")
    before = epochs(cluster, job)
    until(lambda: epochs(cluster, job) > before)
    say("it has done an epoch")
    ended(cluster, job, "^trained|bundle  |age MAE")
    history = json.loads(Path(output, "bundle", "bundle.json").read_text())["history"]
    for workers, rows in itertools.groupby(history, key=lambda row: row["workers"]):
        done = [int(row["epoch"]) for row in rows]
        print(f"{'':10}epochs {done[0]} to {done[-1]} by {workers:.0f} worker(s)")


def score(cluster: LocalCluster, command: tuple[str, ...], output: str) -> None:
    """Scoring that loses a node and uses another, and then loses the head."""
    submitted(cluster, *command)
    until(lambda: Path(output).is_dir() and committed(output) >= 10)
    say(f"{committed(output)} shards are committed")
    lose_a_node(cluster)
    join_a_node(cluster)
    until(lambda: cluster.workers[-1].runs("ShardScorer"))
    say("the new node scores")
    kept = committed(output)
    until(lambda: committed(output) > kept + 10)
    say(f"{committed(output)} shards are committed")
    cluster.stop()
    say("the head is killed, and all nodes with it")


def committed(output: str) -> int:
    """Shards that are in place."""
    return len(frozen_inputs.committed(output))


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default=str(ROOT.parent / "shared" / "data" / "utkface"))
    parser.add_argument("--limit", type=int, default=6000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fm-run-") as folder:
        images = Path(folder, "faces")
        images.mkdir()
        for path in sorted(Path(arguments.images).iterdir())[: arguments.limit]:
            os.symlink(path.resolve(), images / path.name)
        manifest, output = f"{folder}/manifest", f"{folder}/scored"
        scoring = (
            "jobs.score", "--images", str(images), "--output", output,
            "--bundle", f"{ROOT}/bundles/seed-final", "--shard-rows", "64",
        )  # fmt: skip
        with local_cluster(2) as cluster:
            say(f"a head of 0 CPUs and 2 nodes of 1 CPU are up; load {os.getloadavg()[0]:.1f}")
            job = submitted(cluster, "jobs.ingest", "--images", str(images), "--output", manifest)
            ended(cluster, job, "files  |splits")
            train(cluster, manifest, f"{folder}/train")
            score(cluster, scoring, output)
        with local_cluster(2) as cluster:
            say("another cluster is up")
            job = submitted(cluster, *scoring)
            ended(cluster, job, "inputs  |scored  |quarantined  |time  ")
            job = submitted(cluster, "jobs.verify", "--output", output)
            ended(cluster, job, "inputs  |uris  |files  ")


if __name__ == "__main__":
    main()
