"""Every call of Ray that its documentation does not promise, in one place.

Ray 2.60 has no public call for these. Each is tested by tests/pipelines/cluster/test_private.py,
which says what has changed where a later Ray answers otherwise.
"""

import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, TypeVar

import ray

_Answer = TypeVar("_Answer")
_Told = TypeVar("_Told")

CHECKPOINT_LIST = "checkpoint_manager_snapshot.json"  # below a run's checkpoints
# Read by Ray Train's controller.
GROUP_START_TIMEOUT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
PREEMPTION_WATCHER = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"


def is_retried_task() -> bool:
    """Whether this task was begun before, by a process that is gone."""
    worker: Any = ray._private.worker.global_worker  # type: ignore[attr-defined]
    return worker.core_worker.get_current_task_attempt_number() > 0


def nodes_coming() -> int:
    """Nodes that an autoscaler has ordered and that have not joined; as `ray status` reads it.

    Raises:
        Exception: whatever Ray raises where no autoscaler runs.
    """
    from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
    from ray.autoscaler.v2.sdk import get_cluster_status
    from ray.autoscaler.v2.utils import is_autoscaler_v2
    from ray.experimental.internal_kv import _internal_kv_get  # pyright: ignore[reportPrivateUsage]

    if is_autoscaler_v2(fetch_from_server=True):
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        return len(status.pending_nodes) + sum(one.count for one in status.pending_launches)
    report = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS))["autoscaler_report"]
    return len(report["pending_nodes"]) + sum(report["pending_launches"].values())


def checkpoint_list(folder_name: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """Ray Train's list of checkpoints (CHECKPOINT_LIST) that names one, the latest.

    Args:
        folder_name: of the checkpoint.
        metrics: that were reported with it.
    """
    listed = {"version": 0, "checkpoint_dir_name": folder_name, "metrics": metrics}
    return {
        "ray_version": version("ray"),
        "checkpoint_results": [listed],
        "checkpoint_report_indices": [0],
        "latest_checkpoint_result": listed,
        "current_report_index": 1,
        "pending_training_results": [],
        "pending_validation_specs": [],
        "validated_checkpoint_dir_names": [],
        "timed_out_validation_checkpoint_dir_names": [],
        "failed_validation_checkpoint_dir_names": [],
    }


def data_parallel_trainer(is_alone: bool) -> Any:
    """The class below Ray Train's trainers, which takes any backend; imports no framework.

    It starts no actor that would have nothing to do, of two core seconds each: the one that hands
    out data sets, as it is given none.

    Args:
        is_alone: whether Ray ends with this process; then also not the one that frees the group's
            cores if the controller is lost.
    """
    from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
    from ray.train.v2._internal.callbacks.placement_group_callback import (
        PlacementGroupCleanerCallback,
    )
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    idle: tuple[type[Any], ...] = (DatasetsCallback,)
    if is_alone:
        idle += (PlacementGroupCleanerCallback,)

    class Trainer(DataParallelTrainer):
        def _create_default_callbacks(self) -> list[Any]:
            every = super()._create_default_callbacks()
            return [callback for callback in every if not isinstance(callback, idle)]

    return Trainer


def ask_each(group: Any, function: Callable[[], _Answer]) -> list[_Answer]:
    """What a function answers on every worker of a group that a backend is given, by rank."""
    return group.execute(function)


def tell_each(group: Any, function: Callable[[_Told, int], None], told: _Told) -> None:
    """Run `function(told, rank)` on every worker of such a group, and raise what it raises."""
    ray.get([group.execute_single_async(rank, function, told, rank) for rank in range(len(group))])
