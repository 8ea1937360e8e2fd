"""A real Ray cluster on this machine: a head and workers, each `ray start --block` of its own.

Own ports, token and folder: it meets no other Ray here, and only its own processes are ever killed.
Each node has a temporary folder of its own, as if on its own machine: in a shared one, a node that
joins unpacks the job's code anew under the feet of the others (Ray: overwrite=True).
The head takes no tasks and serves the job port on loopback, as in cluster.yaml.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.robustness.killing import wait_until_dead
from tests.s3_server import free_ports

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).parent / "ray")
START_S = 180.0  # 12 s on a quiet machine
_NODE_TRIES = 5
_NOT_OF_NODES = ("AWS_", "CUDA_", "RAY_")
_STORE_BYTES = 150 * 2**20
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


class Node:
    """One `ray start --block` and all processes below it."""

    def __init__(
        self,
        arguments: list[str],
        env: Mapping[str, str],
        log: Path,
        metrics_port: int,
        apart: Sequence[str] = (),
    ) -> None:
        """Start it, behind the command `apart` that sets it apart; it is not up yet."""
        self.log, self.metrics_url = log, f"http://127.0.0.1:{metrics_port}/metrics"
        arguments = [*arguments, f"--metrics-export-port={metrics_port}"]
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [*apart, RAY, "start", "--block", "--disable-usage-stats", *arguments],
                env=dict(env), cwd="/", stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip

    def is_up(self) -> bool:
        """Whether it has joined its cluster."""
        return "Ray runtime started" in self.log.read_text()

    def has_ended(self) -> bool:
        """Whether it gave up."""
        return self.process.poll() is not None

    def processes(self) -> list[psutil.Process]:
        """Everything this node runs, itself first."""
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        return []

    def workers_named(self, name: str) -> list[psutil.Process]:
        """The worker processes here that go by a name that holds `name`."""
        found = list[psutil.Process]()
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if name in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def runs(self, name: str) -> bool:
        """Whether there is such a worker here."""
        return bool(self.workers_named(name))

    def suspend(self, name: str) -> None:
        """SIGSTOP such workers: as slow as can be, but alive to Ray."""
        for process in self.workers_named(name):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self, name: str) -> None:
        """SIGCONT those workers."""
        for process in self.workers_named(name):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def metrics(self) -> dict[str, float]:
        """What Prometheus would scrape here: name and labels, in Ray's text, by value."""
        import requests

        with contextlib.suppress(requests.RequestException):
            lines = requests.get(self.metrics_url, timeout=20).text.splitlines()
            pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
            return {name: float(value) for name, value in pairs}
        return {}

    def kill(self) -> None:
        """SIGKILL all of it, as when a spot machine is taken away."""
        victims = self.processes()
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        self.process.wait()
        wait_until_dead(victims, 10)


class LocalCluster:
    """A head of no CPUs and any number of workers.

    Attributes:
        jobs_url: where `ray job submit` goes.
        env: the environment of the nodes, and of whoever talks to them (it holds the token).
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        """Choose ports, token and folder; nothing is started."""
        # Not below pytest's folder: the path of a Unix socket has 107 characters at most.
        self.folder = Path(tempfile.mkdtemp(prefix="fm-ray-", dir="/tmp"))
        self._handed_out = set[int]()
        self.port, self.jobs_port, client = (self._free_port() for _ in range(3))
        self._client_port = str(client)
        self.address = f"127.0.0.1:{self.port}"
        self.jobs_url = f"http://127.0.0.1:{self.jobs_port}"
        # The venv first: the job server starts `python`.
        path = f"{Path(RAY).parent}:{os.environ.get('PATH', '')}"
        # A node is a machine of its own: nothing that an earlier test left in this process.
        quiet = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_OF_NODES)}
        # Metrics within a second, not after Ray's ten.
        token = {
            "RAY_metrics_report_interval_ms": "1000",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": uuid.uuid4().hex,
        }
        # A node that is gone is told of within seconds, not after Ray's half minute.
        self.env = {
            **quiet, **token, "PATH": path, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "RAY_USAGE_STATS_ENABLED": "0", "RAY_health_check_period_ms": "1000",
            "RAY_health_check_failure_threshold": "3", **(env or {}),
        }  # fmt: skip
        self.head: Node | None = None
        self.workers: list[Node] = []

    def start(
        self, workers: int, cpus: int = 1, autoscaling: Mapping[str, Any] | None = None
    ) -> None:
        """Start the head, maybe with an autoscaler, and `workers` nodes; wait until all are up."""
        scaled = list[str]()
        if autoscaling:
            file = self.folder / "autoscaling.json"
            file.write_text(json.dumps(autoscaling))
            scaled = [f"--autoscaling-config={file}"]
        self.head = Node(
            [*scaled, "--head", f"--port={self.port}", "--num-cpus=0", "--num-gpus=0",
             "--dashboard-host=127.0.0.1",
             f"--dashboard-port={self.jobs_port}", f"--temp-dir={self.folder}",
             "--ray-client-server-port", self._client_port, *self._common()],
            self.env, self.folder / "head.log", self._free_port(),
        )  # fmt: skip
        self._until(lambda: self.api("/api/version") is not None, "the job server does not answer")
        for _ in range(workers):  # one after the other: at once, one of two sometimes never joins
            self.add_node(cpus)

    def _free_port(self) -> int:
        """A port that nobody listens on, and that no node here has been given either."""
        while (port := free_ports(1)[0]) in self._handed_out:
            pass
        self._handed_out.add(port)
        return port

    def _common(self) -> list[str]:
        return [
            "--min-worker-port=0", "--max-worker-port=0",
            "--node-ip-address=127.0.0.1", f"--object-store-memory={_STORE_BYTES}",
            f"--dashboard-agent-listen-port={self._free_port()}",
        ]  # fmt: skip

    def _tails(self) -> str:
        return "".join(f"{p.name}: {p.read_text()[-800:]}" for p in self.folder.glob("*.log"))

    def add_node(self, cpus: int = 1, wait: bool = True, gpus: int = 0, mounts: str = "") -> Node:
        """Start one more worker node; its GPUs are numbers that Ray counts, no cards.

        It alone sees what the command `mounts` mounts.
        Ray itself gives up now and then ("timed out during startup"); then another is started, as
        an autoscaler would.

        Raises:
            RuntimeError: each of several has ended; the message has the end of their logs.
        """
        for _ in range(_NODE_TRIES):
            name = f"w{uuid.uuid4().hex[:6]}"
            arguments = [
                f"--address={self.address}", f"--num-cpus={cpus}", f"--num-gpus={gpus}",
                *self._common(), f"--temp-dir={self.folder / name}",
            ]  # fmt: skip
            log = self.folder / f"{name}.log"
            apart = list[str]()
            if mounts:
                apart = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]
            node = Node(arguments, self.env, log, self._free_port(), apart)
            self.workers.append(node)
            if not wait:  # and not by counting: one killed a moment ago is still listed
                return node
            self._until(lambda node=node: node.is_up() or node.has_ended(), "a node hangs")
            if node.is_up():
                return node
            self.kill_node(node)
        raise RuntimeError(f"{_NODE_TRIES} nodes one after the other have ended: {self._tails()}")

    def kill_node(self, node: Node) -> None:
        """Take a worker node away."""
        self.workers.remove(node)
        node.kill()

    def stop(self) -> None:
        """Kill what is left and remove the folder."""
        for node in [*self.workers, *([self.head] if self.head else [])]:
            node.kill()
        self.workers, self.head = [], None
        shutil.rmtree(self.folder, ignore_errors=True)

    # Jobs.

    def ray_job(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`ray job …` against this cluster, with no terminal to prompt on."""
        verb, *rest = arguments
        return subprocess.run(
            [RAY, "job", verb, "--address", self.jobs_url, *rest], cwd=ROOT, env=self.env,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip

    def submit(self, *command: str, env_vars: Mapping[str, str] | None = None) -> str:
        """`ray job submit --no-wait --working-dir . -- python -m …`; returns the job's id."""
        job = f"facemill_{uuid.uuid4().hex[:8]}"
        settings = json.dumps({"env_vars": dict(env_vars or {})})
        done = self.ray_job(
            "submit", "--no-wait", "--submission-id", job, "--working-dir", ".",
            "--runtime-env-json", settings, "--", "python", "-m", *command,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return job

    def info(self, job: str) -> dict[str, Any]:
        """The job's details: status, driver_exit_code, message, runtime_env, …"""
        return self.api(f"/api/jobs/{job}") or {}

    def logs(self, job: str) -> str:
        """What the job printed."""
        return (self.api(f"/api/jobs/{job}/logs") or {}).get("logs", "")

    def wait(self, job: str, timeout_s: float = 200.0) -> dict[str, Any]:
        """Wait until the job has ended, however it did; returns its details."""
        self._until(
            lambda: self.info(job).get("status") in _ENDED, f"{job} does not end", timeout_s
        )
        return self.info(job)

    def while_it_runs(self, job: str, is_so: Callable[[], bool], what: str) -> None:
        """Wait for something that a running job brings about."""
        deadline, look, asked = time.monotonic() + 240, 0.0, time.monotonic()
        while not is_so():
            now = time.monotonic()
            if now > look:
                look = now + 2
                ended = self.info(job).get("status") in _ENDED
                assert not ended or is_so(), f"ended before {what}: {self.logs(job)[-2000:]}"
            assert now < deadline, f"waited in vain for {what}: {self.logs(job)[-2000:]}"
            # Asking for logs or processes takes a core that the nodes could use: a fifth of it.
            time.sleep(max(0.05, 4 * (now - asked)))
            asked = time.monotonic()

    def succeed(self, job: str) -> str:
        """Wait for a job; returns what it printed."""
        details, logs = self.wait(job), self.logs(job)
        assert (details["status"], details["driver_exit_code"]) == ("SUCCEEDED", 0), logs[-2000:]
        return logs

    def api(self, path: str) -> Any:
        """What the dashboard answers to a GET, or None."""
        import requests

        headers = {"Authorization": f"Bearer {self.env['RAY_AUTH_TOKEN']}"}
        with contextlib.suppress(requests.RequestException, ValueError):
            answer = requests.get(self.jobs_url + path, headers=headers, timeout=20)
            return answer.json() if answer.ok else None
        return None

    def _until(self, is_so: Any, otherwise: str, timeout_s: float = START_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_so():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{otherwise} within {timeout_s:.0f} s: {self._tails()}")
            if self.head and self.head.process.poll() is not None:
                raise RuntimeError(f"the head has ended: {self._tails()}")
            time.sleep(0.2)


def may_mount() -> bool:
    """Whether nodes may see files that others do not, which needs root."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


@contextlib.contextmanager
def local_cluster(workers: int, env: Mapping[str, str] | None = None) -> Iterator[LocalCluster]:
    """A cluster that is up, and gone afterwards."""
    cluster = LocalCluster(env)
    try:
        cluster.start(workers)
        yield cluster
    finally:
        cluster.stop()
