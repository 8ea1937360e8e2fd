"""The worker group: Ray Train runs it, restarts it after a loss and keeps its checkpoints."""

import os
from typing import Any

import ray
import ray.train

from model.errors import StorageError, TrainingError
from pipelines import storage
from pipelines.cluster.errors import reason_of
from pipelines.cluster.private import (
    GROUP_START_TIMEOUT,
    PREEMPTION_WATCHER,
    data_parallel_trainer,
)
from pipelines.cluster.resources import ResourceRequest
from pipelines.cluster.session import joins_cluster
from pipelines.environment import seconds
from pipelines.storage.lease import Lease
from pipelines.training import layout
from pipelines.training.checkpoint_list import repair_checkpoint_list
from pipelines.training.claim import TrainingJob
from pipelines.training.group import TensorFlowGroup
from pipelines.training.progress import Watcher
from pipelines.training.trackers import Trackers
from pipelines.training.watchdog import Watchdog
from pipelines.training.worker import WorkerConfig, train_worker

_RESIZE_S = 60  # an elastic group looks so often for room to grow; growing costs a restart


def fit(job: TrainingJob, config: WorkerConfig, trackers: Trackers, lease: Lease) -> Any:
    """Run the worker group to the end; returns the last checkpoint.

    Raises:
        TrainingError: training cannot go on, or the workers failed too often.
        StorageError: the output cannot hold checkpoints.
    """
    trainer = _trainer(job, config)
    repair_checkpoint_list(storage.join(job.output, layout.CHECKPOINTS))
    workers = job.options.workers
    guard = Watchdog(ResourceRequest(_resources(config), workers.required), lease)
    watcher = Watcher(config.board, job.recipe, trackers.epoch, guard, workers.workers, job.part)
    watcher.start()
    try:
        result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise TrainingError(ray.get(config.board.failed.remote()) or reason_of(error)) from None
    except OSError as error:
        raise StorageError(f"`output` {job.output} cannot hold checkpoints: {error}") from None
    finally:
        watcher.stop()
    failure = ray.get(config.board.failed.remote())
    if failure:
        raise TrainingError(
            f"{failure}; the last good checkpoint, if there is one, is below "
            f"{storage.join(job.output, layout.CHECKPOINTS)}"
        )
    if result.checkpoint is None:
        raise TrainingError("the workers ended without a checkpoint: see the log above")
    return result.checkpoint


def _resources(config: WorkerConfig) -> dict[str, float]:
    """What each worker reserves."""
    gpu = {"GPU": 1.0} if config.options.workers.use_gpu else {}
    return {"CPU": float(config.cpus), **gpu}


def _trainer(job: TrainingJob, config: WorkerConfig) -> Any:
    workers = job.options.workers
    elastic = workers.required < workers.workers
    if elastic:
        # Right after a loss Ray still counts on the lost node and asks for as many workers as
        # before: not for the minute that it would wait.
        os.environ.setdefault(GROUP_START_TIMEOUT, "10")
    is_alone = not joins_cluster()
    if is_alone:
        # Nobody takes away the only node and leaves us: no process that asks every 5 s whether.
        os.environ.setdefault(PREEMPTION_WATCHER, "0")
    filesystem, path = storage.train_filesystem(job.output)
    return data_parallel_trainer(is_alone)(
        train_worker,
        backend_config=TensorFlowGroup(),
        train_loop_config={"config": config},
        scaling_config=ray.train.ScalingConfig(
            num_workers=(workers.required, workers.workers) if elastic else workers.workers,
            elastic_resize_monitor_interval_s=seconds("FACEMILL_RESIZE_S", _RESIZE_S),
            use_gpu=workers.use_gpu,
            resources_per_worker=_resources(config),
        ),
        run_config=ray.train.RunConfig(
            name=layout.CHECKPOINTS,
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=ray.train.FailureConfig(max_failures=workers.max_failures),
            checkpoint_config=_checkpoint_config(job.options.run.keep_best),
        ),
    )


def _checkpoint_config(best: int | None) -> ray.train.CheckpointConfig:
    """The last two checkpoints, or the best ones beside the last, which Ray always keeps."""
    if best is None:
        return ray.train.CheckpointConfig(num_to_keep=2)
    return ray.train.CheckpointConfig(
        num_to_keep=best, checkpoint_score_attribute="val_loss", checkpoint_score_order="min"
    )
