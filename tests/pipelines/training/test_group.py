"""Workers are told where all of them are, by code that loads no TensorFlow."""

import json
import os
import socket
import subprocess
import sys

import pytest
import ray

from pipelines.training.group import TensorFlowGroup, free_address, introduce
from pipelines.training.worker import train_worker


def test_what_ray_train_s_controller_reads_imports_no_framework() -> None:
    """It unpickles the backend and what the workers are given."""
    read = sorted({TensorFlowGroup.__module__, train_worker.__module__})
    heavy = {"tensorflow", "keras", "jax", "sklearn", "matplotlib", "openvino"}
    code = f"import sys, {', '.join(read)}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_worker_answers_with_a_port_that_it_can_listen_at(ray_session: None) -> None:
    host, _, port = free_address().rpartition(":")
    assert host == ray.util.get_node_ip_address()
    with socket.create_server((host, int(port))):
        pass


def test_each_worker_is_told_of_all_and_which_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "of an earlier group")
    introduce(["a:1", "b:2"], 1)
    assert json.loads(os.environ["TF_CONFIG"]) == {
        "cluster": {"worker": ["a:1", "b:2"]},
        "task": {"type": "worker", "index": 1},
    }


def test_what_a_worker_cannot_do_ends_the_start_of_its_group(ray_session: None) -> None:
    """As with Ray's own backend: the errors of all workers are asked for."""

    class Group:
        def __len__(self) -> int:
            return 2

        def execute(self, function: object) -> list[str]:
            return ["a:1", "b:2"]

        def execute_single_async(self, rank: int, *call: object) -> object:
            @ray.remote(num_cpus=0)
            def fails() -> None:
                raise OSError(f"worker {rank} is ill")

            return fails.remote() if rank else ray.put(None)

    config = TensorFlowGroup()
    with pytest.raises(OSError, match="worker 1 is ill"):
        config.backend_cls().on_start(Group(), config)  # type: ignore[arg-type]
