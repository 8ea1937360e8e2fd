"""Kill drivers, workers and nodes of a scoring run: `python -m tests.robustness.chaos --kills 20`.

Starts several Ray nodes on this machine, scores a folder once undisturbed, then again while
drivers, workers and nodes are killed (SIGKILL) at random instants; a driver that dies is
started again with the same command. Ends well only if jobs.verify's proof holds and every row
equals the undisturbed run's, value for value.
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import ROOT, SHARED, images
from pipelines.predictions import frozen_inputs, schemas
from pipelines.predictions.verification import verify

KINDS = ("driver", "worker", "node")
_WORKER = "ray::MapWorker(MapBatches(ShardScorer))"
_STALL_S = 900.0  # without a new shard: then something hangs


class Run:
    """One `jobs.score`, started again whenever it dies."""

    def __init__(self, address: str, images: str, output: str, extra: list[str]) -> None:
        """Start it."""
        self.output, self.address = output, address
        self.starts = 0
        self._command = [sys.executable, "-m", "jobs.score", "--images", images,
                         "--output", output, *extra]  # fmt: skip
        self._log = open(f"{output}.log", "wb")  # noqa: SIM115
        self.driver = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the driver; the command never changes."""
        self.starts += 1
        environment = {**os.environ, "RAY_ADDRESS": self.address}
        self.driver = subprocess.Popen(
            self._command, cwd=ROOT, env=environment, stdout=self._log, stderr=self._log
        )
        return self.driver

    @property
    def committed(self) -> int:
        """Shards whose file is there."""
        return len(frozen_inputs.committed(self.output)) if Path(self.output).is_dir() else 0

    def is_done(self) -> bool:
        """Whether it ended well; a driver that ended otherwise is started again."""
        code = self.driver.poll()
        if code is None:
            return False
        if code != 0:
            if self.starts > 100:
                raise SystemExit(f"it does not end: see {self.output}.log")
            self.start()
            return False
        self._log.close()
        return True


def undisturbed(run: Run) -> None:
    """Wait for the end.

    Raises:
        SystemExit: it failed.
    """
    if run.driver.wait() != 0:
        raise SystemExit(f"the undisturbed run failed: see {run.output}.log")


def disturbed(run: Run, cluster: Any, kills: list[str], rng: random.Random, pause_s: float) -> None:
    """Kill at a random instant, wait until a shard more is committed, kill again, to the end."""
    left, seen, since = list(kills), 0, time.monotonic()
    while not run.is_done():
        time.sleep(0.02)
        if run.committed > seen:
            seen, since = run.committed, time.monotonic()
            if left:
                time.sleep(rng.uniform(0, pause_s))
                victim = kill(left.pop(0), run, cluster, rng)
                seen = run.committed
                print(f"{seen} shards: killed {victim}", flush=True)
        if time.monotonic() - since > _STALL_S:
            raise SystemExit(f"no new shard for {_STALL_S:.0f} s: see {run.output}.log")
    if left:
        raise SystemExit(f"the run ended before {len(left)} of {len(kills)} kills: more images")


def kill(kind: str, run: Run, cluster: Any, rng: random.Random) -> str:
    """Kill one; only what this program started."""
    if kind == "driver":
        run.driver.kill()
        run.driver.wait()
        return f"driver {run.driver.pid}"
    if kind == "node":
        node = rng.choice(sorted(cluster.worker_nodes, key=lambda node: node.node_id))
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(num_cpus=1)
        return f"node {node.node_id[:8]}"
    workers = list(_workers(cluster))
    if not workers:
        return "nobody: no worker is up"
    victim = rng.choice(workers)
    with contextlib.suppress(psutil.NoSuchProcess):
        victim.kill()
    return f"worker {victim.pid}"


def _workers(cluster: Any) -> Iterator[psutil.Process]:
    """Scoring workers below the raylets of our own nodes."""
    for node in [cluster.head_node, *cluster.worker_nodes]:
        for info in node.all_processes.get("raylet", []):
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(info.process.pid).children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        if child.cmdline()[:1] and child.cmdline()[0].startswith(_WORKER):
                            yield child


def differences(first: str, second: str) -> list[str]:
    """How the rows of two outputs differ, in any column."""
    lines: list[str] = []
    for read in (schemas.read_predictions, schemas.read_quarantine):
        one, two = (read(output).sort_by("uri") for output in (first, second))
        if one.num_rows != two.num_rows:
            lines.append(f"{read.__name__}: {one.num_rows} rows against {two.num_rows}")
            continue
        for name in one.column_names:
            same = one[name].to_pylist() == two[name].to_pylist()
            lines += [] if same else [f"{read.__name__}: column {name} differs"]
    return lines


def main() -> None:
    """Run both, compare, say so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=SHARED / "utkface")
    parser.add_argument("--limit", type=int, default=20_000, help="images")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--nodes", type=int, default=3, help="Ray nodes of one core each")
    parser.add_argument("--shard-rows", type=int, default=128)
    parser.add_argument("--pause-s", type=float, default=0.8, help="at most, before a kill")
    parser.add_argument("--bundle", default=str(ROOT / "bundles" / "seed-final"))
    parser.add_argument("--faces", default="auto", help="detect for photos")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    kills = [KINDS[number % len(KINDS)] for number in range(arguments.kills)]
    rng.shuffle(kills)
    from ray.cluster_utils import Cluster

    extra = ["--bundle", arguments.bundle, "--shard-rows", str(arguments.shard_rows),
             "--faces", arguments.faces]  # fmt: skip
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="facemill-chaos-") as folder:
        linked = str(images(Path(folder), arguments.images, arguments.limit))
        cluster: Any = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        try:
            for _ in range(arguments.nodes - 1):
                cluster.add_node(num_cpus=1)
            outputs = [os.path.join(folder, name) for name in ("calm", "chaos")]
            undisturbed(Run(cluster.address, linked, outputs[0], extra))
            print(f"undisturbed: {time.monotonic() - started:.0f} s", flush=True)
            run = Run(cluster.address, linked, outputs[1], extra)
            disturbed(run, cluster, kills, rng, arguments.pause_s)
        finally:
            cluster.shutdown()
        problems = [*verify(outputs[1]).problems, *differences(*outputs)]
        proof = verify(outputs[1])
    for problem in problems:
        print(f"- {problem}")
    print(
        f"{len(kills)} kills, {run.starts} drivers, {proof.inputs:,} inputs = "
        f"{proof.scored:,} scored + {proof.quarantined:,} quarantined, "
        f"{time.monotonic() - started:.0f} s: "
        + ("NOT equal to the undisturbed run" if problems else "equal to the undisturbed run")
    )
    raise SystemExit(1 if problems else 0)


if __name__ == "__main__":
    main()
