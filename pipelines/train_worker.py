"""The training loop of one Ray Train worker: a MultiWorkerMirroredStrategy custom loop.

Why so, and not `fit`: docs/decisions/001-training-loop.md. Everything random is a function of
(seed, epoch, image), so the number of workers changes float noise and nothing else.
"""

import dataclasses
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
import ray.train

from model.recipes import Recipe
from model.runtime import import_tensorflow

_PROGRESS_S = 1.0


@dataclasses.dataclass(frozen=True)
class WorkerConfig:
    """What every worker gets; the arrays stay in the object store and are read without a copy.

    Attributes:
        recipe: what to train.
        train, val: ObjectRefs of {"pixels": uint8 (n, h, w, c), head name: float32 (n, 1)}.
        seed: of initialisation, order and augmentation.
        precision: float32 or bfloat16.
        cpus: cores of this worker.
        board: actor that shows progress, or None.
        stall_timeout_s: a worker without a finished step for so long exits, and Ray restarts all.
    """

    recipe: Recipe
    train: Any
    val: Any
    seed: int
    precision: str
    cpus: int
    board: Any = None
    stall_timeout_s: float = 600.0


@dataclasses.dataclass
class TrainState:
    """What a checkpoint holds beside the variables."""

    epoch: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list[dict[str, float]])
    best_epoch: int = -1
    best_loss: float = float("inf")


def epoch_order(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    """The order of one epoch, the same on every rank."""
    return np.random.default_rng([seed, epoch, 1]).permutation(count)


def train_worker(loop_config: dict[str, Any]) -> None:
    """Train until the recipe's last epoch, from the latest checkpoint if there is one."""
    config: WorkerConfig = loop_config["config"]
    tf = import_tensorflow(threads=config.cpus)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before any other TensorFlow call
    beat = _start_watchdog(config.stall_timeout_s)
    trainer = _Replica(config, strategy)
    state = trainer.restore(ray.train.get_checkpoint())
    rank = ray.train.get_context().get_world_rank()
    for epoch in range(state.epoch, config.recipe.epochs):
        started = time.monotonic()
        sums = trainer.train_epoch(epoch, beat)
        seconds = time.monotonic() - started
        scores = trainer.scores(sums, "train")
        if not np.isfinite(scores["train_loss"]):
            # The merged loss is the same on every rank, so all end here together, without the
            # restarts that an exception would cause: they could only fail again.
            if rank == 0 and config.board is not None:
                ray.get(
                    config.board.fail.remote(
                        f"the loss became {scores['train_loss']} in epoch {epoch + 1}"
                    )
                )
            return
        scores |= trainer.scores(trainer.validate(beat), "val")
        row = {"epoch": epoch + 1, **scores, "seconds": seconds}
        row["images_per_s"] = trainer.steps * config.recipe.global_batch_size / seconds
        state.epoch = epoch + 1
        state.history.append(row)
        is_best = scores["val_loss"] < state.best_loss
        if is_best:
            state.best_epoch, state.best_loss = epoch + 1, scores["val_loss"]
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if rank == 0:
                trainer.save(Path(folder), state, is_best)
                checkpoint = ray.train.Checkpoint.from_directory(folder)
                if config.board is not None:
                    ray.get(config.board.epoch_done.remote(row))
            ray.train.report(row, checkpoint=checkpoint)


class _Replica:
    """Network, optimizer and compiled steps of one worker."""

    def __init__(self, config: WorkerConfig, strategy: Any) -> None:
        """Build the network under the strategy, the same on every rank."""
        import keras
        import tensorflow as tf

        from model.networks import build_network
        from model.optimizers import build_optimizer

        context = ray.train.get_context()
        self.rank, self.workers = context.get_world_rank(), context.get_world_size()
        self.config, self.recipe, self.strategy, self.tf = config, config.recipe, strategy, tf
        self.train: dict[str, Any] = ray.get(config.train)
        self.val: dict[str, Any] = ray.get(config.val)
        self.images = len(self.train["pixels"])
        self.steps = self.images // self.recipe.global_batch_size
        self.local_batch = self.recipe.global_batch_size // self.workers
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            self.network: Any = build_network(
                self.recipe.network,
                self.recipe.input.shape,
                self.recipe.heads,
                config.precision,
                "synchronized" if self.workers > 1 else "batch",
            )
            total_steps = self.steps * self.recipe.epochs
            self.optimizer: Any = build_optimizer(self.recipe.optimizer, total_steps)
            self.optimizer.build(self.network.trainable_variables)
        # Averaged weights live outside the strategy: every rank computes the same ones.
        decay = self.recipe.optimizer.ema
        self.averaged = [tf.Variable(v) for v in self.network.trainable_variables] if decay else []
        self.best: list[npt.NDArray[Any]] = []
        self._train_step = tf.function(self._train_step_eager, reduce_retracing=True)
        self._score_step = tf.function(self._score_step_eager, reduce_retracing=True)

    def _train_step_eager(self, pixels: Any, draws: Any, targets: Any) -> Any:
        from model import losses
        from model.augmentation import augment

        tf, recipe = self.tf, self.recipe
        spec = recipe.optimizer

        def replica_step(pixels: Any, draws: Any, targets: Any) -> Any:
            images = augment(pixels, draws, recipe.augmentation)
            weights = tf.ones([self.local_batch])
            with tf.GradientTape() as tape:
                outputs = self.network(images, training=True)
                each, _ = losses.total_loss(recipe.heads, targets, outputs, weights)
                # Divided by the GLOBAL batch: apply_gradients sums over the workers.
                loss = tf.reduce_sum(each) / recipe.global_batch_size
            gradients = tape.gradient(loss, self.network.trainable_variables)
            if spec.clip_norm:
                replicas = tf.distribute.get_replica_context()
                gradients = replicas.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
                gradients, _ = tf.clip_by_global_norm(gradients, spec.clip_norm)
                gradients = [g / self.workers for g in gradients]
            self.optimizer.apply_gradients(
                zip(gradients, self.network.trainable_variables, strict=True)
            )
            return losses.score_sums(recipe.heads, targets, outputs, weights)

        sums = self.strategy.run(replica_step, args=(pixels, draws, targets))
        if self.averaged and spec.ema:
            step = tf.cast(self.optimizer.iterations, tf.float32)
            keep = tf.minimum(spec.ema, (1.0 + step) / (10.0 + step))  # a short memory at the start
            for mean, variable in zip(self.averaged, self.network.trainable_variables, strict=True):
                mean.assign(mean * keep + tf.convert_to_tensor(variable) * (1.0 - keep))
        return sums

    def _score_step_eager(self, pixels: Any, targets: Any, weights: Any) -> Any:
        from model import losses

        outputs = self.network(pixels, training=False)
        return losses.score_sums(self.recipe.heads, targets, outputs, weights)

    def scores(self, sums: Any, prefix: str) -> dict[str, float]:
        """Merge this worker's sums with all others' into named means."""
        from model import losses

        local = self.tf.constant(sums, self.tf.float32)
        every = self.strategy.run(self.tf.identity, args=(local,))
        merged = self.strategy.reduce(self.tf.distribute.ReduceOp.SUM, every, axis=None)
        return losses.scores_from_sums(self.recipe.heads, np.asarray(merged), prefix)

    def train_epoch(self, epoch: int, beat: list[float]) -> npt.NDArray[np.float64]:
        """One pass over train; returns this worker's score sums, (heads, 3)."""
        from model.augmentation import draw

        order = epoch_order(self.config.seed, epoch, self.images)
        draws = draw(self.config.seed, epoch, self.images)
        heads = self.recipe.heads
        total: Any = 0.0
        shown = time.monotonic()
        for step in range(self.steps):
            start = step * self.recipe.global_batch_size + self.rank * self.local_batch
            index = order[start : start + self.local_batch]
            targets = {head.name: self.train[head.name][index] for head in heads}
            total = total + self._train_step(self.train["pixels"][index], draws[index], targets)
            beat[0] = time.monotonic()
            if self.rank == 0 and self.config.board is not None and beat[0] - shown > _PROGRESS_S:
                shown = beat[0]
                self.config.board.step_done.remote(epoch + 1, step + 1, self.steps)
        return np.asarray(total, dtype=np.float64)

    def validate(self, beat: list[float]) -> npt.NDArray[np.float64]:
        """Score this worker's share of val, with averaged weights if there are any."""
        batch, heads = 128, self.recipe.heads
        mine = np.arange(len(self.val["pixels"]))[self.rank :: self.workers]
        total = np.zeros((len(heads), 3))
        live = self._swap_in_averaged()
        for start in range(0, len(mine), batch):
            index = mine[start : start + batch]
            weights = np.zeros(batch, dtype=np.float32)
            weights[: len(index)] = 1.0
            index = np.resize(index, batch)  # one batch shape; the filling weighs nothing
            targets = {head.name: self.val[head.name][index] for head in heads}
            total += np.asarray(self._score_step(self.val["pixels"][index], targets, weights))
            beat[0] = time.monotonic()
        self.evaluated = [np.asarray(v) for v in self.network.get_weights()]
        self._swap_out(live)
        return total

    def _swap_in_averaged(self) -> list[npt.NDArray[Any]]:
        if not self.averaged:
            return []
        variables = self.network.trainable_variables
        live = [np.asarray(v) for v in variables]
        for variable, mean in zip(variables, self.averaged, strict=True):
            variable.assign(mean)
        return live

    def _swap_out(self, live: list[npt.NDArray[Any]]) -> None:
        for variable, value in zip(self.network.trainable_variables, live, strict=False):
            variable.assign(value)

    def save(self, folder: Path, state: TrainState, is_best: bool) -> None:
        """Write the whole state: variables as .npz (never pickled), the rest as JSON."""
        if is_best:
            self.best = self.evaluated
        variables = [*self.network.variables, *self.optimizer.variables]
        _save_arrays(folder / "state.npz", [np.asarray(v) for v in variables])
        _save_arrays(folder / "averaged.npz", [np.asarray(v) for v in self.averaged])
        _save_arrays(folder / "best.npz", self.best)
        (folder / "state.json").write_text(json.dumps(dataclasses.asdict(state)))

    def restore(self, checkpoint: Any) -> TrainState:
        """Take up a checkpoint on every rank; without one, start afresh."""
        if checkpoint is None:
            return TrainState()
        with checkpoint.as_directory() as folder:
            variables = [*self.network.variables, *self.optimizer.variables]
            for variable, value in zip(variables, load_arrays(folder, "state"), strict=True):
                variable.assign(value)
            for variable, value in zip(self.averaged, load_arrays(folder, "averaged"), strict=True):
                variable.assign(value)
            self.best = load_arrays(folder, "best")
            return TrainState(**json.loads((Path(folder) / "state.json").read_text()))


def _save_arrays(path: Path, arrays: list[npt.NDArray[Any]]) -> None:
    named: dict[str, Any] = {f"{i:04d}": array for i, array in enumerate(arrays)}
    np.savez(path, **named)


def load_arrays(folder: str | Path, name: str) -> list[npt.NDArray[Any]]:
    """The arrays of `{name}.npz` of a checkpoint, in order; pickled data is refused."""
    with np.load(Path(folder) / f"{name}.npz", allow_pickle=False) as arrays:
        return [arrays[key] for key in sorted(arrays.files)]


def _start_watchdog(timeout_s: float) -> list[float]:
    """Exit the process if no step ends for `timeout_s`: a stuck collective hangs for ever.

    Returns:
        A one-item list; the loop writes the time of its last sign of life into it.
    """
    beat = [time.monotonic()]

    def watch() -> None:
        while time.monotonic() - beat[0] < timeout_s:
            time.sleep(min(5.0, timeout_s / 4))
        os._exit(70)

    threading.Thread(target=watch, daemon=True).start()
    return beat
