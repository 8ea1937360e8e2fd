"""What Ray does not promise and we read all the same: says what has changed in a later Ray."""

import inspect
from pathlib import Path

import ray
import ray.train

from pipelines.cluster import private


def test_ray_still_counts_a_task_s_attempts(ray_session: None) -> None:
    ask = ray.remote(num_cpus=0)(private.is_retried_task)
    assert ray.get(ask.remote()) is False, (
        "Ray tells no more how often a task was begun: private.py"
    )

    @ray.remote(num_cpus=0, max_retries=1)
    def second_try(folder: str) -> bool:
        import os

        first = Path(folder) / "first"
        if not first.exists():
            first.touch()
            os._exit(1)
        return private.is_retried_task()

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        told = ray.get(second_try.remote(folder))
    assert told is True, "Ray's attempt number of a repeated task is 0: private.is_retried_task"


def test_ray_still_reads_the_autoscaler_s_report_where_we_do(ray_session: None) -> None:
    from ray._private import ray_constants
    from ray.autoscaler.v2 import sdk, utils
    from ray.experimental import internal_kv

    for module, name in (
        (ray_constants, "DEBUG_AUTOSCALING_STATUS"), (sdk, "get_cluster_status"),
        (utils, "is_autoscaler_v2"), (internal_kv, "_internal_kv_get"),
    ):  # fmt: skip
        assert hasattr(module, name), f"{module.__name__}.{name} is gone: private.nodes_coming"


def test_ray_train_still_keeps_its_list_of_checkpoints_as_we_write_it(tmp_path: Path) -> None:
    from ray.train.v2._internal.execution.checkpoint import checkpoint_manager

    text = inspect.getsource(checkpoint_manager) + inspect.getsource(
        inspect.getmodule(checkpoint_manager.CheckpointManager) or checkpoint_manager
    )
    missing = [name for name in private.checkpoint_list("x", {}) if f"{name}" not in text]
    assert missing == [], "Ray Train's list has other keys: private.checkpoint_list"


def test_ray_train_still_reads_the_time_that_a_group_may_take_to_start() -> None:
    from ray.train.v2._internal import constants

    names = vars(constants).values()
    assert private.GROUP_START_TIMEOUT in names, "Ray Train reads another variable: private.py"
