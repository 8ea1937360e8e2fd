"""Training: manifest -> decoded arrays -> Ray Train -> bundle, history and curves."""

import os
import shutil
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.train

from model.errors import FacemillError, StorageError, TrainingError, UsageError
from model.heads import encode_target
from model.runtime import import_tensorflow, machine
from model.weighting import example_weights
from pipelines import storage
from pipelines.bundles.opening import copy_bundle
from pipelines.cluster.resources import Ask
from pipelines.environment import seconds
from pipelines.images.pixel_cache import decoded, local_folder
from pipelines.manifests import manifest
from pipelines.storage.lease import Lease
from pipelines.telemetry.phases import phase, run_id
from pipelines.training import checkpoints
from pipelines.training.checkpoint_list import mend_snapshot
from pipelines.training.checkpoints import TrainState
from pipelines.training.feeding import Split
from pipelines.training.finishing import finish
from pipelines.training.options import WEIGHTS_FILE, Trained, TrainOptions, claim
from pipelines.training.progress import Watcher, open_board
from pipelines.training.trackers import Trackers, open_trackers
from pipelines.training.worker import WorkerConfig, train_worker

CHECKPOINTS = "checkpoints"  # below the output
_RESIZE_S = 60  # an elastic group looks so often for room to grow; growing costs a restart

__all__ = ["TrainOptions", "Trained", "prepare", "train"]


def prepare(options: TrainOptions, table: pa.Table) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Decode train and val once, into files that the workers map into memory.

    Returns:
        ({"train": ref of a `Split`, "val": ref}, what could not be decoded).

    Raises:
        UsageError: too few images for one batch.
    """
    recipe, cache = options.recipe, cache_of(options)
    refs: dict[str, Any] = {}
    rejects: tuple[str, ...] = ()
    for split in ("train", "val"):
        rows = manifest.labelled(table, split, options.conflicts if split == "train" else "keep")
        images = decoded(rows, recipe.input, cache, f"decode {split}")
        rejects += images.rejects
        if split == "train":
            _require_a_batch(options, len(images.rows))  # what cannot be decoded is gone
        good = rows.take(pa.array(images.rows, pa.int64()))
        targets = {
            head.name: encode_target(head, manifest.codes(good, head.label))
            for head in recipe.heads
        }
        weights = example_weights(
            options.balance if split == "train" else "none",
            manifest.codes(good, "age_years"),
            manifest.codes(good, "gender"),
        )
        refs[split] = ray.put(Split(images.file, images.rows, targets, weights))
    return refs, rejects


def require_labels(options: TrainOptions, table: pa.Table) -> None:
    """Check what can be known before anything is decoded or claimed.

    Raises:
        ManifestError: train or val has no labelled row.
        UsageError: a head that the bundle keeps has no label to learn from or to be measured by, or
            there are too few images for one batch.
    """
    for split in ("train", "val"):
        rows = manifest.labelled(table, split, options.conflicts if split == "train" else "keep")
        for head in options.recipe.kept_heads:
            if np.isnan(manifest.codes(rows, head.label)).all():
                raise UsageError(
                    f"no image of the {split} split has a {head.label} label, which "
                    f"{options.recipe.name} learns and {head.name} is measured by: label some, or "
                    "choose another preset"
                )
        if split == "train":
            _require_a_batch(options, rows.num_rows)


def _require_a_batch(options: TrainOptions, usable: int) -> None:
    batch = options.recipe.global_batch_size
    if usable < batch:
        raise UsageError(
            f"the train split has {usable} usable images, fewer than one global batch of {batch}: "
            "lower --global-batch-size or add images"
        )


def cache_of(options: TrainOptions) -> str:
    """Where decoded images go: --cache, or beside the run while it lasts, always on a disk."""
    if options.cache:
        return options.cache
    local = not options.output.startswith("s3://")
    return storage.join(options.output, "decoded") if local else str(local_folder(options.output))


def place_teachers(options: TrainOptions) -> tuple[str, ...]:
    """Copy the teachers beside the run, where every worker can read them; their URIs."""
    uris: list[str] = []
    for teacher in options.teachers:
        uris.append(storage.join(options.output, "teachers", teacher.id))
        copy_bundle(teacher, uris[-1])
    return tuple(uris)


def train(options: TrainOptions) -> Trained:
    """Train to the last epoch, resuming where an earlier call stopped, and write the bundle.

    Raises:
        UsageError: the output holds another run, the arguments cannot work, or another driver is
            at work in the output.
        TrainingError: the loss became NaN, or the workers failed too often.
    """
    try:
        with Lease(options.output) as lease:
            return _train(options, lease)
    except OSError as error:  # a full disk, an outage longer than our patience
        raise FacemillError(
            f"{error}; what is trained is safe: the same command continues from there"
        ) from error


def _train(options: TrainOptions, lease: Lease) -> Trained:
    """`train`, by the driver that holds the output."""
    table = manifest.read_manifest(options.manifest, ["uri", "age_years", "gender", "split"])
    fingerprint = manifest.fingerprint(table)
    options.check()
    require_labels(options, table)
    done = claim(options, fingerprint)
    if done is not None:
        _drop_decoded(options)  # a kill may have left it
        return done
    with phase("decode") as facts:
        refs, rejects = prepare(options, table)
        facts["images"], facts["not_decodable"] = table.num_rows, len(rejects)
    config = WorkerConfig(
        options.recipe, refs["train"], refs["val"], options.seed, options.precision,
        options.cpus_per_worker, open_board(),
        options.accumulate, options.early_stopping, options.checkpoint_every_steps,
        place_teachers(options), options.use_gpu,
        storage.join(options.start.output, WEIGHTS_FILE) if options.start else None,
    )  # fmt: skip
    with open_trackers(options, options.identity(fingerprint)) as trackers:
        with phase("train") as facts:
            checkpoint = _fit(options, config, trackers, lease)
            lease.confirm()
            with checkpoint.as_directory() as folder:
                state = checkpoints.load_state(folder)
                best = checkpoints.load_arrays(folder, "best")
            facts["epochs"], facts["best_epoch"] = state.epoch, state.best_epoch
        details = _details(options, state, fingerprint)
        with phase("finish") as facts:
            written = finish(
                options.recipe, best, details, table, options.output, options.weights_dtype
            )
            facts["bundle_id"] = written.id
        trackers.finish(written.record["metrics"])
    _drop_decoded(options)
    uri = storage.join(options.output, "bundle")
    return Trained(uri, written.id, tuple(state.history), rejects, state.best_epoch)


def _drop_decoded(options: TrainOptions) -> None:
    if not options.cache:
        shutil.rmtree(cache_of(options), ignore_errors=True)


def _details(options: TrainOptions, state: TrainState, fingerprint: str) -> dict[str, Any]:
    """What bundle.json says of the run; its seconds are those of all steps, also before a kill."""
    seconds = sum(row["seconds"] for row in state.history)
    return {
        "recipe": options.recipe.to_json(),
        "best_epoch": state.best_epoch,
        "history": state.history,
        "training": {
            "run_id": run_id(), "workers": options.workers,
            "cpus_per_worker": options.cpus_per_worker,
            "use_gpu": options.use_gpu, "precision": options.precision,
            "conflicts": options.conflicts, "seed": options.seed, "seconds": round(seconds, 1),
            "machine": machine(), "command": options.command(),
            "accumulate": options.accumulate, "balance": options.balance,
            "early_stopping": options.early_stopping,
            "teachers": [teacher.id for teacher in options.teachers],
            "start": options.start and options.start.sha256[:16],
            "start_training": options.start and dict(options.start.training),
        },
        "manifest_fingerprint": fingerprint,
        "versions": {n: version(n) for n in ("keras", "tensorflow", "ray", "pillow", "numpy")},
    }  # fmt: skip


def _fit(options: TrainOptions, config: WorkerConfig, trackers: Trackers, lease: Lease) -> Any:
    """Run the worker group; returns the last checkpoint."""
    import_tensorflow()  # quietly, before Ray's module does it aloud
    from ray.train.tensorflow import TensorflowTrainer

    filesystem, path = storage.train_filesystem(options.output)
    resources: dict[str, float] = {"CPU": options.cpus_per_worker}
    resources |= {"GPU": 1} if options.use_gpu else {}
    least = options.min_workers or options.workers
    resize_s = seconds("FACEMILL_RESIZE_S", _RESIZE_S)
    if least < options.workers:
        # Right after a loss Ray still counts on the lost node and asks for as many workers as
        # before: not for the minute that it would wait.
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "10")
    kept = ray.train.CheckpointConfig(num_to_keep=2)
    if options.keep_best:
        kept = ray.train.CheckpointConfig(  # Ray keeps the last one beside these
            num_to_keep=options.keep_best,
            checkpoint_score_attribute="val_loss",
            checkpoint_score_order="min",
        )
    trainer = TensorflowTrainer(
        train_worker,
        train_loop_config={"config": config},
        scaling_config=ray.train.ScalingConfig(
            num_workers=(least, options.workers) if least < options.workers else options.workers,
            elastic_resize_monitor_interval_s=resize_s,
            use_gpu=options.use_gpu,
            resources_per_worker=resources,
        ),
        run_config=ray.train.RunConfig(
            name=CHECKPOINTS,
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=ray.train.FailureConfig(max_failures=options.max_failures),
            checkpoint_config=kept,
        ),
    )
    mend_snapshot(storage.join(options.output, CHECKPOINTS))
    board = config.board
    ask = Ask(resources, least)
    watcher = Watcher(board, options.recipe, trackers.epoch, ask, options.workers, lease)
    watcher.start()
    try:
        result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise TrainingError(ray.get(board.failed.remote()) or _root_cause(error)) from None
    except OSError as error:
        raise StorageError(f"--output {options.output} cannot hold checkpoints: {error}") from None
    finally:
        watcher.stop()
    failure = ray.get(board.failed.remote())
    if failure:
        raise TrainingError(
            f"{failure}; the last good checkpoint, if there is one, is below "
            f"{storage.join(options.output, CHECKPOINTS)}"
        )
    if result.checkpoint is None:
        raise TrainingError("the workers ended without a checkpoint: see the log above")
    return result.checkpoint


def _root_cause(error: BaseException) -> str:
    """The last line of the deepest message, which names what went wrong in the worker."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line or "error" in line]
    return (named or lines or [type(error).__name__])[-1]
