"""A Ray cluster whose head, workers and store are hosts with networks and disks of their own."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path

from tests.cluster.nodes import LocalCluster, Node
from tests.hosts.bed import Bed, Host, laid_bed
from tests.s3_server import S3Server

ROOT = Path(__file__).parents[2]
_STORE_PORT, _RAY_PORT, _JOBS_PORT, _METRICS_PORT = 9000, 6379, 8265, 8080


class HostCluster(LocalCluster):
    """`LocalCluster` on hosts: the same commands, and faults of hosts and their network.

    Attributes:
        bed: the hosts.
        head_host, store_host: two of them.
        store: the S3 server on the latter.
        host_of: the host of each worker node, by the node's place in `workers` at its start.
    """

    def __init__(self, bed: Bed, env: Mapping[str, str] | None = None) -> None:
        """Set up the hosts of head and store; nothing is started."""
        self.bed = bed
        self.head_host, self.store_host = bed.host("head"), bed.host("store")
        self.store = S3Server(f"http://{self.store_host.address}:{_STORE_PORT}")
        # Ray's own patience, not the short one of `LocalCluster`: that is what is to be seen.
        patience = {"RAY_health_check_period_ms": "3000", "RAY_health_check_failure_threshold": "5"}
        super().__init__({**self.store.env(), **patience, **(env or {})})
        self.address = f"{self.head_host.address}:{_RAY_PORT}"
        self.jobs_url = f"http://{self.head_host.address}:{_JOBS_PORT}"
        self.host_of: dict[Node, Host] = {}
        self._server: subprocess.Popen[bytes] | None = None

    def start_store(self) -> None:
        """Start the S3 server and wait for it."""
        import requests

        self._server = self.store_host.popen(
            sys.executable, "-m", "tests.s3_server", self.store.endpoint,
            env=os.environ, log=self.folder / "store.log", cwd=ROOT,
        )  # fmt: skip

        def answers() -> bool:
            with contextlib.suppress(requests.RequestException):
                return bool(requests.get(self.store.endpoint, timeout=5).status_code)
            return False

        self._until(answers, "the store does not answer")

    def start_head(self) -> None:
        """Start the head, and wait for its job server."""
        self.head = self._node_on(
            self.head_host, "head", "--head", f"--port={_RAY_PORT}", "--num-cpus=0",
            "--dashboard-host=0.0.0.0", f"--dashboard-port={_JOBS_PORT}",
        )  # fmt: skip
        self._until(lambda: self.api("/api/version") is not None, "the job server does not answer")

    def lose_head(self) -> None:
        """The head's power and disk fail; the workers find out by themselves."""
        import shutil

        self.head_host.kill()
        if self.head:
            self.head.process.wait()
        self.head = None
        shutil.rmtree(self.head_host.disk / "tmp")
        (self.head_host.disk / "tmp").mkdir()

    def restart_head(self) -> None:
        """Another head at the same address, and workers that join it anew."""
        for node in list(self.workers):
            self.kill_node(node)
        self.start_head()

    def fill_disk(self, host: Host) -> None:
        """Leave not a byte on the disk that a worker's node writes to.

        Raises:
            ValueError: it has none of its own: it would be this machine's.
        """
        if not host.disk_bytes:
            raise ValueError(f"{host.name} has no disk of its own: give it `disk_bytes`")
        node = next(node for node in self.workers if self.host_of[node] is host)
        pid = str(node.process.pid)
        command = ("nsenter", "-t", pid, "-m", "sh", "-c", "cat /dev/zero > /tmp/full; df /tmp")
        subprocess.run(command, capture_output=True, check=False)

    def free_disks(self) -> None:
        """Undo `fill_disk` on every worker."""
        for node in self.workers:
            if self.host_of[node].disk_bytes and not node.has_ended():
                command = ("nsenter", "-t", str(node.process.pid), "-m", "rm", "-f", "/tmp/full")
                subprocess.run(command, capture_output=True, check=False)

    def join(self, host: Host, cpus: int = 1, wait: bool = True) -> Node:
        """Start a worker node on a host; again where Ray gives up by itself."""
        while True:
            node = self._node_on(
                host, f"{host.name}-{time.monotonic_ns()}", f"--address={self.address}",
                f"--num-cpus={cpus}",
            )  # fmt: skip
            self.workers.append(node)
            self.host_of[node] = host
            if not wait:
                return node
            self._until(lambda node=node: node.is_up() or node.has_ended(), "a node hangs")
            if node.is_up():
                return node
            self.kill_node(node)

    def _node_on(self, host: Host, name: str, *arguments: str) -> Node:
        return Node(
            [*arguments, f"--node-ip-address={host.address}", f"--object-store-memory={200 << 20}"],
            host.env(self.env), self.folder / f"{name}.log", _METRICS_PORT, host.command(),
        )  # fmt: skip

    def stop(self) -> None:
        """Kill what is left."""
        super().stop()
        if self._server is not None:
            self.store_host.kill()
            self._server.wait()


@contextlib.contextmanager
def hosts_with_ray(workers: int, disk_bytes: int = 0, **env: str) -> Generator[HostCluster]:
    """A store, a head and workers of one core, each a host of its own, of a disk of that size."""
    with laid_bed() as bed:
        cluster = HostCluster(bed, env)
        try:
            cluster.start_store()
            cluster.start_head()
            for number in range(workers):
                cluster.join(bed.host(f"w{number}", disk_bytes))
            yield cluster
        finally:
            cluster.stop()
