"""A transcript for docs/operations.md: `python -m tests.cluster.transcript --images FOLDER`.

Submit, kill a node, finish, verify, for training and for scoring, on a head and two workers of this
machine; each line with the seconds since the start.
"""

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipelines import shards
from tests.cluster.nodes import ROOT, LocalCluster, local_cluster

STARTED = time.monotonic()


def say(text: str) -> None:
    """Print with the clock."""
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


def submitted(cluster: LocalCluster, *command: str) -> str:
    """Submit and say so."""
    say("$ ray job submit --working-dir . -- python -m " + " ".join(command))
    return cluster.submit(*command)


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
    """Kill -9 all processes of a node, and let a new one join."""
    cluster.kill_node(cluster.workers[0])
    say("a worker node is killed (kill -9 of its raylet, agents and workers)")
    cluster.add_node()
    say("a new node has joined")


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default=str(ROOT.parent / "shared" / "data" / "utkface"))
    parser.add_argument("--limit", type=int, default=6000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fm-run-") as folder, local_cluster(2) as cluster:
        say(f"a head of 0 CPUs and 2 nodes of 1 CPU are up; load {os.getloadavg()[0]:.1f}")
        images = Path(folder, "faces")
        images.mkdir()
        for path in sorted(Path(arguments.images).iterdir())[: arguments.limit]:
            os.symlink(path.resolve(), images / path.name)
        manifest, train, scored = (f"{folder}/{name}" for name in ("manifest", "train", "scored"))

        job = submitted(cluster, "jobs.ingest", "--images", str(images), "--output", manifest)
        ended(cluster, job, "files  |splits")

        job = submitted(
            cluster, "jobs.train", "--manifest", manifest, "--output", train, "--preset", "demo",
            "--epochs", "6", "--num-workers", "2", "--cpus-per-worker", "1",
        )  # fmt: skip
        until(lambda: bool(re.search(r"(?m)^epoch +2/", cluster.logs(job))))
        say("two epochs are done")
        lose_a_node(cluster)
        ended(cluster, job, "^epoch|^trained|bundle  ")

        job = submitted(
            cluster, "jobs.score", "--images", str(images), "--output", scored,
            "--bundle", f"{ROOT}/bundles/seed-final", "--shard-rows", "64",
        )  # fmt: skip
        until(lambda: Path(scored).is_dir() and len(shards.committed(scored)) >= 10)
        say(f"{len(shards.committed(scored))} shards are committed")
        lose_a_node(cluster)
        ended(cluster, job, "inputs  |scored  |quarantined  |time  ")

        job = submitted(cluster, "jobs.verify", "--output", scored)
        ended(cluster, job, "inputs  |uris  |files  ")


if __name__ == "__main__":
    main()
