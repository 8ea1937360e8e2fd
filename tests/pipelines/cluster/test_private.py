"""What Ray does not promise and we read all the same: says what has changed in a later Ray."""

import inspect
from pathlib import Path
from typing import Any

import pytest
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


@pytest.mark.parametrize("name", [private.GROUP_START_TIMEOUT, private.PREEMPTION_WATCHER])
def test_ray_train_still_reads_what_we_tell_its_controller(name: str) -> None:
    from ray.train.v2._internal import constants

    told = constants.ENV_VARS_TO_PROPAGATE
    assert name in told, f"Ray Train reads another variable than {name}: private.py"


def test_ray_train_s_trainers_are_still_made_of_the_one_that_takes_any_backend() -> None:
    from ray.train import tensorflow

    ours = private.data_parallel_trainer(is_alone=False)
    assert issubclass(tensorflow.TensorflowTrainer, ours.__base__), "another class: private.py"
    taken = inspect.signature(ours).parameters
    assert {"train_loop_config", "backend_config", "scaling_config", "run_config"} <= {*taken}


def test_ray_train_still_starts_its_actors_by_callbacks_that_we_leave_out(
    ray_session: None, tmp_path: Path
) -> None:
    from ray.train.tensorflow import TensorflowTrainer

    def callbacks_of(kind: Any) -> set[str]:
        trainer = kind(
            lambda: None,
            scaling_config=ray.train.ScalingConfig(num_workers=1),
            run_config=ray.train.RunConfig(name="x", storage_path=str(tmp_path)),
        )
        return {type(callback).__name__ for callback in trainer._create_default_callbacks()}

    every = callbacks_of(TensorflowTrainer)
    on_cluster, alone = (
        callbacks_of(private.data_parallel_trainer(is_alone)) for is_alone in (False, True)
    )
    assert every - on_cluster == {"DatasetsCallback"}, "data_parallel_trainer: private.py"
    assert on_cluster - alone == {"PlacementGroupCleanerCallback"}


def test_a_backend_is_still_given_a_group_that_we_can_speak_to() -> None:
    from ray.train.tensorflow import config
    from ray.train.v2._internal.execution.worker_group import ExecutionGroup

    for name, theirs in (
        ("execute", inspect.signature(ExecutionGroup.execute).parameters),
        ("execute_single_async", inspect.signature(ExecutionGroup.execute_single_async).parameters),
    ):
        assert theirs, f"ExecutionGroup.{name} takes nothing: private.ask_each, private.tell_each"
        assert f"worker_group.{name}(" in inspect.getsource(config), "Ray's own backend: private.py"
