"""The training loop of one Ray Train worker: a MultiWorkerMirroredStrategy custom loop.

Why so, and not `fit`: docs/decisions/001-training-loop.md. Everything random is a function of
(seed, epoch, image), so the number of workers changes float noise and nothing else.
"""

import dataclasses
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train

from model.recipes import Recipe
from model.runtime import import_tensorflow
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.training import checkpoints
from pipelines.training.checkpoints import TrainState
from pipelines.training.feeding import Feed
from pipelines.training.replica import Replica

_PROGRESS_S = 1.0
_NOT_FINITE = (
    "the {} became {} in epoch {}: lower --learning-rate or use float32, with another --output"
)
_BROKEN = (
    "weights became infinite in epoch {}: lower --learning-rate or use float32, with another "
    "--output"
)
_OVERFLOWED = (
    "no step of epoch {} could be taken in float16, at a loss scale of {:g}: use bfloat16 or "
    "float32, or lower --learning-rate, with another --output"
)
_NO_GPU = (
    "--use-gpu: Ray counts a GPU on a worker's node, but TensorFlow there finds none: install "
    "deploy/requirements-gpu.lock on it (its driver: nvidia-smi), or leave --use-gpu out"
)
_DRIFTED = (
    "the workers' weights differ after epoch {}, which must never be: repeat the command to go on "
    "from the last checkpoint, and report it"
)


@dataclasses.dataclass(frozen=True)
class WorkerConfig:
    """What every worker gets; the pixels stay on disk and are mapped into memory.

    Attributes:
        recipe: what to train.
        train, val: ObjectRefs of a `feeding.Split`.
        seed: of initialisation, order and augmentation.
        precision: float32, bfloat16 or float16.
        cpus: cores of this worker.
        board: actor that shows progress, or None.
        accumulate: micro-batches a step.
        early_stopping: epochs without a better validation loss before the end, or None.
        checkpoint_every_steps: beside one every epoch, or None.
        teachers: URIs of bundles, where every node can read them.
        use_gpu: whether TensorFlow must find one.
        start: URI of the weights to begin with, or None for random ones.
        stall_timeout_s: a worker without a finished step for so long exits, and Ray restarts all.
    """

    recipe: Recipe
    train: Any
    val: Any
    seed: int
    precision: str
    cpus: int
    board: Any = None
    accumulate: int = 1
    early_stopping: int | None = None
    checkpoint_every_steps: int | None = None
    teachers: tuple[str, ...] = ()
    use_gpu: bool = False
    start: str | None = None
    stall_timeout_s: float = 600.0


def train_worker(loop_config: dict[str, Any]) -> None:
    """Train until the recipe's last epoch, from the latest checkpoint if there is one."""
    config: WorkerConfig = loop_config["config"]
    tf = import_tensorflow(threads=config.cpus)
    if config.use_gpu and not tf.config.list_physical_devices("GPU"):
        if config.board is not None:  # no exception: the restarts that it costs could not help
            ray.get(config.board.fail.remote(_NO_GPU))
        return
    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before any other TensorFlow call
    # Before the watchdog: a large file takes its time to come from another node.
    feeds = Feed(ray.get(config.train)), Feed(ray.get(config.val))
    run = _Run(config, strategy, feeds, start_watchdog(config.stall_timeout_s))
    while run.state.epoch < config.recipe.epochs:
        small = config.recipe.side_at(run.state.epoch - 1) is not None
        if run.state.stopped_early(config.early_stopping, small) or not run.epoch():
            break
    for feed in feeds:
        feed.split.pixels.drop_copy()


class _Run:
    """One worker's run: the feeds, the replica and where they stand."""

    def __init__(
        self, config: WorkerConfig, strategy: Any, feeds: tuple[Feed, Feed], beat: list[float]
    ) -> None:
        """Build all, and take up the latest checkpoint if there is one."""
        context = ray.train.get_context()
        self.rank, workers = context.get_world_rank(), context.get_world_size()
        self.config, self.recipe, self.beat = config, config.recipe, beat
        self.train, self.val = feeds
        self.steps = len(self.train) // self.recipe.global_batch_size
        self.replica = Replica(
            config.recipe, strategy, self.rank, workers, steps=self.steps * config.recipe.epochs,
            seed=config.seed, precision=config.precision, accumulate=config.accumulate,
            teachers=[open_bundle(uri) for uri in config.teachers],
            start=checkpoints.unpacked(storage.read_bytes(config.start)) if config.start else None,
        )  # fmt: skip
        self.state = TrainState()
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is not None:
            with checkpoint.as_directory() as folder:
                names = self.replica.arrays()
                self.replica.take_up({n: checkpoints.load_arrays(folder, n) for n in names})
                self.state = checkpoints.load_state(folder)

    def epoch(self) -> bool:
        """Train one epoch, or what an interruption left of it; False if training cannot go on."""
        state, replica, recipe = self.state, self.replica, self.recipe
        sums = replica.merged(self._steps())
        scores = replica.scores(sums, "train")
        if not np.isfinite(scores["train_loss"]):
            self._fail(_NOT_FINITE.format("loss", scores["train_loss"], state.epoch + 1))
            return False
        if replica.workers > 1 and replica.weights_differ():
            self._fail(_DRIFTED.format(state.epoch + 1))
            return False
        side = recipe.side_at(state.epoch)
        val = replica.merged(replica.validate(self.val, self.beat, side))
        scores |= replica.scores(val, "val")
        # The loss above was measured before the last step: that step may have broken the weights.
        if not np.isfinite(scores["val_loss"]):
            self._fail(_NOT_FINITE.format("validation loss", scores["val_loss"], state.epoch + 1))
            return False
        if not replica.is_finite():
            self._fail(_BROKEN.format(state.epoch + 1))
            return False
        waited_s, seconds = replica.merged([state.waited_s, state.seconds]) / replica.workers
        row = {"epoch": state.epoch + 1, **scores, "seconds": float(seconds)}
        row["images_per_s"] = self.steps * recipe.global_batch_size / float(seconds)
        row["data_wait_share"] = float(waited_s / seconds)
        row["workers"] = float(replica.workers)  # an elastic group may have shrunk
        if replica.scaling:
            row["loss_scale"] = float(np.asarray(replica.scaling[0]))
            row["skipped_steps"] = float(np.asarray(replica.scaling[2])) - state.skipped
            state.skipped += int(row["skipped_steps"])
            if row["skipped_steps"] >= self.steps:
                self._fail(_OVERFLOWED.format(state.epoch + 1, row["loss_scale"]))
                return False
        state.epoch, state.step, state.sums = state.epoch + 1, 0, []
        state.seconds = state.waited_s = 0.0
        state.history.append(row)
        if state.is_best(scores["val_loss"], grown=side != recipe.side_at(state.epoch - 2)):
            state.best_epoch, state.best_loss = state.epoch, scores["val_loss"]
            replica.best = replica.evaluated
        # Of small pictures no epoch is a best one that --keep-best would keep.
        self._report(row if side is None else {**row, "val_loss": sys.float_info.max}, row)
        return True

    def _steps(self) -> Any:
        """All steps that the epoch still has; this worker's score sums, (heads, 3)."""
        state, config = self.state, self.config
        # What was summed before an interruption counts once: on rank 0.
        before = np.array(state.sums) if state.sums and self.rank == 0 else 0.0
        # Seconds are means over the workers, so each counts those before an interruption.
        total: Any = 0.0
        shown = started = time.monotonic()
        waited_s = self.train.waited_s
        side = self.recipe.side_at(state.epoch)
        batches = self.train.epoch(
            config.seed, state.epoch, self.recipe.global_batch_size, self.replica.places, state.step
        )
        for batch in batches:
            total = total + self.replica.train_step(batch, side)
            state.step += 1
            self.beat[0] = time.monotonic()
            if self.rank == 0 and config.board is not None and self.beat[0] - shown > _PROGRESS_S:
                shown = self.beat[0]
                config.board.step_done.remote(state.epoch + 1, state.step, self.steps)
            if self._checkpoint_due():
                state.sums = self.replica.merged(np.asarray(total) + before).tolist()
                state.seconds += time.monotonic() - started
                state.waited_s += self.train.waited_s - waited_s
                # A broken state is not kept; the same on all ranks, and the epoch's end says it.
                if np.isfinite(state.sums).all() and self.replica.is_finite():
                    self._report({"val_loss": sys.float_info.max})  # the worst of all to keep
                before, total = (np.array(state.sums) if self.rank == 0 else 0.0), 0.0
                started, waited_s = time.monotonic(), self.train.waited_s
        total = np.asarray(total, dtype=np.float64) + before
        state.seconds += time.monotonic() - started
        state.waited_s += self.train.waited_s - waited_s
        return total + np.zeros((len(self.recipe.heads), 3))

    def _checkpoint_due(self) -> bool:
        every = self.config.checkpoint_every_steps
        return bool(every) and self.state.step % (every or 1) == 0 and self.state.step < self.steps

    def _report(self, rank_by: dict[str, float], row: dict[str, float] | None = None) -> None:
        """Put a checkpoint in place, on rank 0, and wait for all ranks; show `row` if there is one.

        `rank_by` holds the val_loss by which Ray keeps the best of them.
        """
        board = self.config.board
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if self.rank == 0:
                checkpoints.save(Path(folder), self.state, self.replica.arrays())
                checkpoint = ray.train.Checkpoint.from_directory(folder)
                if board is not None and row:
                    ray.get(board.epoch_done.remote(row))
            ray.train.report(rank_by, checkpoint=checkpoint)
        self.beat[0] = time.monotonic()

    def _fail(self, reason: str) -> None:
        """Say why all end: what was merged is the same on every rank, so all come here together.

        Without the restarts that an exception would cause: they could only fail again.
        """
        if self.rank == 0 and self.config.board is not None:
            ray.get(self.config.board.fail.remote(reason))


def start_watchdog(timeout_s: float) -> list[float]:
    """Exit the process if no step ends for `timeout_s`: a stuck collective hangs for ever.

    Returns:
        A one-item list; the loop writes the time of its last sign of life into it.
    """
    beat = [time.monotonic()]

    def watch() -> None:
        while time.monotonic() - beat[0] < timeout_s:
            time.sleep(min(5.0, timeout_s / 4))
        why = f"no step ended in {timeout_s:g} s: this worker exits, so that Ray restarts the group"
        print(why, file=sys.stderr, flush=True)
        os._exit(70)

    threading.Thread(target=watch, daemon=True).start()
    return beat
