"""Training: manifest -> decoded arrays -> Ray Train -> bundle, history and curves."""

import dataclasses
import json
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import ray
import ray.train

from model import bundle as bundles
from model.errors import StorageError, TrainingError, UsageError
from model.heads import encode_target
from model.recipes import Recipe
from model.runtime import import_tensorflow
from pipelines import manifest, storage, tables
from pipelines.decoding import decode_manifest
from pipelines.finishing import finish
from pipelines.manifest import ConflictRule
from pipelines.train_progress import Board, Watcher
from pipelines.train_worker import WorkerConfig, load_arrays, train_worker


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """What to train, on what, where.

    Attributes:
        recipe: the resolved recipe.
        manifest: URI of a labelled manifest.
        output: folder or prefix for checkpoints, bundle, history and curves.
        workers: data-parallel workers; the global batch is split among them.
        cpus_per_worker: cores of each.
        use_gpu: one GPU a worker.
        precision: of the network's body.
        conflicts: what to do with contradicting labels of identical images.
        seed: of initialisation, order and augmentation.
        max_failures: restarts of the worker group before the run gives up.
        weights_dtype: float16 halves the bundle on disk.
    """

    recipe: Recipe
    manifest: str
    output: str
    workers: int = 1
    cpus_per_worker: int = 1
    use_gpu: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    conflicts: ConflictRule = "drop"
    seed: int = 0
    max_failures: int = 3
    weights_dtype: Literal["float32", "float16"] = "float32"

    def identity(self, fingerprint: str) -> dict[str, Any]:
        """All that decides the outcome; the number of workers does not."""
        recipe = self.recipe.to_json()
        del recipe["source"]  # prose
        return tables.plain(
            {
                "recipe": recipe,
                "manifest_fingerprint": fingerprint,
                "precision": self.precision,
                "conflicts": self.conflicts,
                "seed": self.seed,
                "weights_dtype": self.weights_dtype,
            }
        )


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a run left behind."""

    bundle_uri: str
    bundle_id: str
    history: tuple[Mapping[str, float], ...]
    rejects: tuple[str, ...]
    already_done: bool = False


def prepare(options: TrainOptions, table: pa.Table) -> tuple[dict[str, Any], tuple[str, ...], str]:
    """Decode train and val once and put them into the object store.

    Returns:
        ({"train": ref, "val": ref}, what could not be decoded, the manifest's fingerprint).

    Raises:
        UsageError: too few images for one batch, or the batch does not divide by the workers.
    """
    recipe = options.recipe
    if recipe.global_batch_size % options.workers:
        raise UsageError(
            f"--global-batch-size {recipe.global_batch_size} does not divide by --num-workers "
            f"{options.workers}: each worker must take an equal share"
        )
    refs: dict[str, Any] = {}
    rejects: tuple[str, ...] = ()
    for split in ("train", "val"):
        rows = manifest.labelled(table, split, options.conflicts if split == "train" else "keep")
        images = decode_manifest(rows, recipe.input, f"decode {split}")
        rejects += images.rejects
        if split == "train" and len(images.rows) < recipe.global_batch_size:
            raise UsageError(
                f"the train split has {len(images.rows)} usable images, fewer than one global "
                f"batch of {recipe.global_batch_size}: lower --global-batch-size or add images"
            )
        good = rows.take(pa.array(images.rows, pa.int64()))
        targets = {
            head.name: encode_target(head, manifest.codes(good, head.label))
            for head in recipe.heads
        }
        refs[split] = ray.put({"pixels": images.pixels, **targets})
    return refs, rejects, manifest.fingerprint(table)


def train(options: TrainOptions) -> Trained:
    """Train to the last epoch, resuming where an earlier call stopped, and write the bundle.

    Raises:
        UsageError: the output holds another run, or the arguments cannot work.
        TrainingError: the loss became NaN, or the workers failed too often.
    """
    table = manifest.read_manifest(options.manifest, ["uri", "age_years", "gender", "split"])
    done = _open_output(options, manifest.fingerprint(table))
    if done is not None:
        return done
    refs, rejects, fingerprint = prepare(options, table)
    started = time.monotonic()
    board: Any = Board.remote()  # type: ignore[attr-defined]
    config = WorkerConfig(
        options.recipe, refs["train"], refs["val"], options.seed, options.precision,
        options.cpus_per_worker, board,
    )  # fmt: skip
    checkpoint = _fit(options, config, board)
    with checkpoint.as_directory() as folder:
        state = json.loads((Path(folder) / "state.json").read_text())
        best = load_arrays(folder, "best")
    history = state["history"]
    seconds = time.monotonic() - started
    details = {
        "recipe": options.recipe.to_json(),
        "best_epoch": state["best_epoch"],
        "history": history,
        "training": {
            "workers": options.workers, "cpus_per_worker": options.cpus_per_worker,
            "use_gpu": options.use_gpu, "precision": options.precision,
            "conflicts": options.conflicts, "seed": options.seed, "seconds": round(seconds, 1),
        },
        "manifest_fingerprint": fingerprint,
        "versions": {n: version(n) for n in ("keras", "tensorflow", "ray", "pillow", "numpy")},
    }  # fmt: skip
    written = finish(options.recipe, best, details, table, options.output, options.weights_dtype)
    return Trained(storage.join(options.output, "bundle"), written.id, tuple(history), rejects)


def _open_output(options: TrainOptions, fingerprint: str) -> Trained | None:
    """Claim the output, or return the finished run that it holds.

    Raises:
        UsageError: it holds another run; the differing settings are named.
    """
    marker = storage.join(options.output, "train.json")
    identity = options.identity(fingerprint)
    if not storage.exists(marker):
        tables.write_json(marker, {**identity, "manifest": options.manifest})
        return None
    before = tables.read_json(marker)
    changed = _differences(before, identity)
    if changed:
        raise UsageError(
            f"--output {options.output} holds another training run ({'; '.join(changed)}): "
            "choose another --output, or repeat the arguments of that run to resume it"
        )
    bundle_uri = storage.join(options.output, "bundle")
    record_uri = storage.join(bundle_uri, bundles.RECORD_FILE)
    if not storage.exists(record_uri):
        return None
    record = tables.read_json(record_uri)
    return Trained(bundle_uri, record["bundle_id"], tuple(record["history"]), (), True)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """`recipe.epochs was 12, is 3` for every leaf that differs."""
    found: list[str] = []
    for key, value in now.items():
        old, name = before.get(key), f"{path}{key}"
        if isinstance(value, dict) and isinstance(old, dict):
            found += _differences(old, value, f"{name}.")  # type: ignore[arg-type]
        elif old != value:
            found.append(f"{name} was {old!r}, is {value!r}")
    return found


def _fit(options: TrainOptions, config: WorkerConfig, board: Any) -> Any:
    """Run the worker group; returns the last checkpoint."""
    import_tensorflow()  # quietly, before Ray's module does it aloud
    from ray.train.tensorflow import TensorflowTrainer

    filesystem, path = storage.train_filesystem(options.output)
    resources: dict[str, float] = {"CPU": options.cpus_per_worker}
    trainer = TensorflowTrainer(
        train_worker,
        train_loop_config={"config": config},
        scaling_config=ray.train.ScalingConfig(
            num_workers=options.workers,
            use_gpu=options.use_gpu,
            resources_per_worker=resources | ({"GPU": 1} if options.use_gpu else {}),
        ),
        run_config=ray.train.RunConfig(
            name="checkpoints",
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=ray.train.FailureConfig(max_failures=options.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
        ),
    )
    watcher = Watcher(board, options.recipe)
    watcher.start()
    try:
        result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise TrainingError(_root_cause(error)) from None
    except OSError as error:
        raise StorageError(f"--output {options.output} cannot hold checkpoints: {error}") from None
    finally:
        watcher.stop()
    failure = ray.get(board.failed.remote())
    if failure:
        raise TrainingError(
            f"{failure}: lower --learning-rate or use float32, with another --output; the last "
            f"good checkpoint is below {storage.join(options.output, 'checkpoints')}"
        )
    if result.checkpoint is None:
        raise TrainingError("the workers ended without a checkpoint: see the log above")
    return result.checkpoint


def _root_cause(error: BaseException) -> str:
    """The last line of the deepest message, which names what went wrong in the worker."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line or "error" in line]
    return (named or lines or [type(error).__name__])[-1]
