"""The worker group: Ray Train runs it, restarts it after a loss and keeps its checkpoints."""

import os
from typing import Any

import ray
import ray.train

from model.errors import StorageError, TrainingError
from pipelines import storage
from pipelines.bundles.opening import copy_bundle
from pipelines.cluster.errors import reason_of
from pipelines.cluster.private import (
    GROUP_START_TIMEOUT,
    PREEMPTION_WATCHER,
    data_parallel_trainer,
)
from pipelines.cluster.resources import ResourceRequest, cores_a_worker, require, supply
from pipelines.cluster.session import joins_cluster
from pipelines.environment import seconds
from pipelines.storage.lease import Lease
from pipelines.training import layout
from pipelines.training.checkpoints import repair_checkpoint_list
from pipelines.training.group import TensorFlowGroup
from pipelines.training.job import TrainingJob
from pipelines.training.options import Workers
from pipelines.training.preparing import Prepared
from pipelines.training.progress import Watchdog, Watcher, open_board
from pipelines.training.trackers import Trackers
from pipelines.training.worker import WorkerConfig, train_worker

_RESIZE_S = 60  # an elastic group looks so often for room to grow; growing costs a restart


def fit(job: TrainingJob, prepared: Prepared, cpus: int, trackers: Trackers, lease: Lease) -> Any:
    """Run the worker group to the end; returns the last checkpoint.

    Args:
        job: what to train.
        prepared: what on.
        cpus: cores of each worker.
        trackers: get every epoch's row.
        lease: of the output.

    Raises:
        TrainingError: training cannot go on, or the workers failed too often.
        StorageError: the output cannot hold checkpoints.
    """
    config = WorkerConfig(
        job.options, job.recipe, prepared.train, prepared.val, cpus, open_board(),
        _teachers(job), job.start.weights if job.start else None,
    )  # fmt: skip
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


def _teachers(job: TrainingJob) -> tuple[str, ...]:
    """Copy the teachers beside the run, where every worker can read them; their URIs."""
    uris: list[str] = []
    for teacher in job.teachers:
        uris.append(storage.join(job.output, layout.TEACHERS, teacher.id))
        copy_bundle(teacher, uris[-1])
    return tuple(uris)


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


def room_for(workers: Workers, trainings: int = 1) -> tuple[int, int]:
    """Wait until one training has room, then share out what there is.

    Where the options leave the cores open, a worker gets as many as one node has for it: a machine
    without GPUs then has room for one training, a cluster for as many as it has nodes. With GPUs it
    gets what lets most trainings run at once.

    Args:
        workers: of each training.
        trainings: how many there are to do.

    Returns:
        (cores of each worker, how many of the trainings to run at once).

    Raises:
        ResourcesError: there is no room for one, and none is coming.
    """
    gpus = int(workers.use_gpu)
    require(ResourceRequest({"CPU": workers.cpus_per_worker or 1, "GPU": gpus}, workers.required))
    cores = workers.cpus_per_worker
    if not cores and gpus:
        counts = (n * workers.workers for n in range(trainings, 0, -1))
        cores = next(filter(None, (cores_a_worker(count, gpus) for count in counts)), 0)
    cores = cores or cores_a_worker(workers.workers, gpus) or cores_a_worker(workers.required, gpus)
    at_once = supply().room({"CPU": cores, "GPU": gpus}) // workers.workers
    return cores, min(trainings, max(1, at_once))
