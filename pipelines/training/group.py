"""How the workers of a group find one another: TF_CONFIG, before any of them trains.

As `ray.train.tensorflow` does it, whose import would load TensorFlow in Ray Train's controller too
(3 core seconds and 800 MB of every training, 2026-11-27). The controller imports this file: it
must stay light.
"""

import json
import os
import socket
from typing import Any

import ray.util
from ray.train import BackendConfig
from ray.train.backend import Backend

from pipelines.cluster import private


class TensorFlowGroup(BackendConfig):
    """Makes Ray Train's workers a group of MultiWorkerMirroredStrategy."""

    @property
    def backend_cls(self) -> type[Backend]:
        """What Ray Train calls at each start of a group."""
        return _Introduction


class _Introduction(Backend):
    """Tells each worker where all of them are."""

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Set TF_CONFIG on every worker of a group that has just been started, or restarted."""
        addresses = private.ask_each(worker_group, free_address)
        private.tell_each(worker_group, introduce, addresses)


def free_address() -> str:
    """HOST:PORT of this worker, of a port that nobody has."""
    host = ray.util.get_node_ip_address()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as found:
        found.bind(("", 0))
        port = found.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def introduce(addresses: list[str], rank: int) -> None:
    """Tell TensorFlow in this process where all workers are, and which of them this is."""
    task = {"type": "worker", "index": rank}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
