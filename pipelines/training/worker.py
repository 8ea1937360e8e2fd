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
import numpy.typing as npt
import ray
import ray.train

from model.bundle import load_network
from model.recipes import Recipe
from model.runtime import import_tensorflow
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.training import checkpoints
from pipelines.training.checkpoints import Arrays, TrainState
from pipelines.training.feeding import Feed, epoch_order
from pipelines.training.options import TrainOptions
from pipelines.training.replica import Replica

_PROGRESS_S = 1.0
SAMPLE = 512  # images that give batch norm its statistics
_NOT_FINITE = (
    "the {} became {} in epoch {}: lower `learning_rate` or use float32, with another `output`"
)
_BROKEN = (
    "weights became infinite in epoch {}: lower `learning_rate` or use float32, with another "
    "`output`"
)
_OVERFLOWED = (
    "no step of epoch {} could be taken in float16, at a loss scale of {:g}: use bfloat16 or "
    "float32, or lower `learning_rate`, with another `output`"
)
_NO_GPU = (
    "`device` gpu: Ray counts a GPU on a worker's node, but TensorFlow there finds none: install "
    "deploy/requirements-gpu.lock on it (its driver: nvidia-smi), or give `device` cpu"
)
_DRIFTED = (
    "the workers' weights differ after epoch {}, which must never be: repeat the command to go on "
    "from the last checkpoint, and report it"
)


@dataclasses.dataclass(frozen=True)
class WorkerConfig:
    """What every worker gets; the pixels stay on disk and are mapped into memory.

    Attributes:
        options: of the training.
        recipe: what to train.
        train, val: ObjectRefs of a `feeding.Split`.
        cpus: cores of this worker.
        board: actor that shows progress, or None.
        teachers: URIs of bundles, where every node can read them.
        start: URI of a weights.npz or of a bundle to begin with, or None for random weights.
        stall_timeout_s: a worker without a finished step for so long exits, and Ray restarts all.
    """

    options: TrainOptions
    recipe: Recipe
    train: Any
    val: Any
    cpus: int
    board: Any = None
    teachers: tuple[str, ...] = ()
    start: str | None = None
    stall_timeout_s: float = 600.0


class TrainingAborted(Exception):
    """Training cannot go on; its text says why.

    What decides it was merged over the ranks, so that all of them raise it together. None of them
    lets it reach Ray, whose restarts could only fail again.
    """


def train_worker(loop_config: dict[str, Any]) -> None:
    """Train until the recipe's last epoch, from the latest checkpoint if there is one."""
    config: WorkerConfig = loop_config["config"]
    try:
        _train(config)
    except TrainingAborted as reason:
        if config.board is not None:
            ray.get(config.board.fail.remote(str(reason)))


def _train(config: WorkerConfig) -> None:
    tf = import_tensorflow(threads=config.cpus)
    if config.options.workers.use_gpu and not tf.config.list_physical_devices("GPU"):
        raise TrainingAborted(_NO_GPU)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before any other TensorFlow call
    # Before the watchdog: a large file takes its time to come from another node.
    feeds = Feed(ray.get(config.train)), Feed(ray.get(config.val))
    run = _Run(config, strategy, feeds, start_watchdog(config.stall_timeout_s))
    while not run.is_over():
        run.epoch()
    for feed in feeds:
        feed.split.pixels.drop_copy()


class _Run:
    """One worker's run: the feeds, the replica and where they stand."""

    def __init__(
        self, config: WorkerConfig, strategy: Any, feeds: tuple[Feed, Feed], heartbeat: list[float]
    ) -> None:
        """Build all, and restore the latest checkpoint if there is one."""
        context = ray.train.get_context()
        self.rank, workers = context.get_world_rank(), context.get_world_size()
        self.config, self.recipe = config, config.recipe
        self.heartbeat = heartbeat
        self.train, self.val = feeds
        self.seed = config.options.run.seed
        self.steps = len(self.train) // self.recipe.global_batch_size
        self.replica = Replica(
            config.recipe, strategy, self.rank, workers, steps=self.steps * config.recipe.epochs,
            seed=self.seed, precision=config.options.workers.precision,
            accumulate=config.options.workers.accumulate,
            teachers=[open_bundle(uri) for uri in config.teachers],
            start=self._start(config),
        )  # fmt: skip
        self.state = TrainState()
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is not None:
            with checkpoint.as_directory() as folder:
                names = self.replica.arrays()
                self.replica.restore({n: checkpoints.load_arrays(folder, n) for n in names})
                self.state = checkpoints.load_state(folder)

    def _start(self, config: WorkerConfig) -> Arrays | None:
        """The weights to begin with, if not random ones."""
        if config.start is None:
            return None
        some = epoch_order(self.seed, 0, len(self.train))[:SAMPLE]
        pixels = self.train.take(some).pixels
        return starting_weights(config.start, self.recipe, pixels, self.seed)

    def is_over(self) -> bool:
        """Whether the last epoch is done, or the validation loss has long stopped falling."""
        patience = self.config.options.run.early_stopping
        small = self.recipe.side_at(self.state.epoch - 1) is not None
        done = self.state.epoch >= self.recipe.epochs
        return done or self.state.stopped_early(patience, small)

    def epoch(self) -> None:
        """Train one epoch, or what an interruption left of it, and put its checkpoint in place.

        Raises:
            TrainingAborted: a loss or a weight is not finite, or the workers have drifted apart.
        """
        state, replica = self.state, self.replica
        train_sums = replica.merged(self._steps())
        scores = replica.scores(train_sums, "train")
        self._require_finite("loss", scores["train_loss"])
        if replica.workers > 1 and replica.weights_differ():
            raise TrainingAborted(_DRIFTED.format(state.epoch + 1))
        side = self.recipe.side_at(state.epoch)
        val_sums = replica.merged(replica.validate(self.val, self.heartbeat, side))
        # Without a val split each epoch is the best so far: the last one is kept.
        loss = -float(state.epoch)
        if len(self.val):
            scores |= replica.scores(val_sums, "val")
            loss = scores["val_loss"]
            # The one above was measured before the last step: that may have broken the weights.
            self._require_finite("validation loss", loss)
        if not replica.is_finite():
            raise TrainingAborted(_BROKEN.format(state.epoch + 1))
        row = {"epoch": state.epoch + 1, **scores, **self._pace(), **self._loss_scale()}
        state.end_epoch(row)
        if state.is_best(loss, grown=side != self.recipe.side_at(state.epoch - 2)):
            state.best_epoch, state.best_loss = state.epoch, loss
            replica.best = replica.evaluated
        # Of small images no epoch is a best one that `keep_best` would keep.
        self._report({**row, "val_loss": loss if side is None else sys.float_info.max}, row)

    def _require_finite(self, name: str, value: float) -> None:
        if not np.isfinite(value):
            raise TrainingAborted(_NOT_FINITE.format(name, value, self.state.epoch + 1))

    def _pace(self) -> dict[str, float]:
        """Seconds of the epoch, speed, and the share of the time that waited for data."""
        state, replica = self.state, self.replica
        waited_s, seconds = replica.merged([state.waited_s, state.seconds]) / replica.workers
        return {
            "seconds": float(seconds),
            "images_per_s": self.steps * self.recipe.global_batch_size / float(seconds),
            "data_wait_share": float(waited_s / seconds),
            "workers": float(replica.workers),  # an elastic group may have shrunk
        }

    def _loss_scale(self) -> dict[str, float]:
        """The loss scale of float16 and the epoch's steps that it gave up; {} without one."""
        state, scaling = self.state, self.replica.scaling
        if not scaling:
            return {}
        scale, skipped = (float(np.asarray(scaling[i])) for i in (0, 2))
        given_up = skipped - state.skipped
        state.skipped += int(given_up)
        if given_up >= self.steps:
            raise TrainingAborted(_OVERFLOWED.format(state.epoch + 1, scale))
        return {"loss_scale": scale, "skipped_steps": given_up}

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
            self.seed, state.epoch, self.recipe.global_batch_size, self.replica.places, state.step
        )
        for batch in batches:
            total = total + self.replica.train_step(batch, side)
            state.step += 1
            self.heartbeat[0] = time.monotonic()
            if (
                self.rank == 0
                and config.board is not None
                and self.heartbeat[0] - shown > _PROGRESS_S
            ):
                shown = self.heartbeat[0]
                config.board.step_done.remote(state.epoch + 1, state.step, self.steps)
            if self._checkpoint_due():
                state.sums = self.replica.merged(np.asarray(total) + before).tolist()
                state.seconds += time.monotonic() - started
                state.waited_s += self.train.waited_s - waited_s
                # A broken state is not kept; the same on all ranks, and the epoch's end says it.
                if np.isfinite(state.sums).all() and self.replica.is_finite():
                    self._report({"val_loss": sys.float_info.max})  # the worst of all to keep
                before = np.array(state.sums) if self.rank == 0 else 0.0
                total = 0.0
                started, waited_s = time.monotonic(), self.train.waited_s
        total = np.asarray(total, dtype=np.float64) + before
        state.seconds += time.monotonic() - started
        state.waited_s += self.train.waited_s - waited_s
        return total + np.zeros((len(self.recipe.heads), 3))

    def _checkpoint_due(self) -> bool:
        every = self.config.options.run.checkpoint_every_steps
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
        self.heartbeat[0] = time.monotonic()


def start_watchdog(timeout_s: float) -> list[float]:
    """Exit the process if no step ends for `timeout_s`: a stuck collective never returns.

    Returns:
        A list of one item, into which the loop writes the time at which it last ended a step.
    """
    heartbeat = [time.monotonic()]

    def watch() -> None:
        while time.monotonic() - heartbeat[0] < timeout_s:
            time.sleep(min(5.0, timeout_s / 4))
        message = (
            f"no step ended in {timeout_s:g} s: this worker exits, so that Ray restarts the group"
        )
        print(message, file=sys.stderr, flush=True)
        os._exit(70)

    threading.Thread(target=watch, daemon=True).start()
    return heartbeat


def starting_weights(uri: str, recipe: Recipe, pixels: npt.NDArray[np.uint8], seed: int) -> Arrays:
    """The arrays of a weights.npz, or those of a bundle, in the order of `network.set_weights`.

    Args:
        uri: of either.
        recipe: whose network is to begin with them.
        pixels: uint8 (n, height, width, channels) of the train split, `SAMPLE` of them.
        seed: of what a bundle has not: heads that were left out of it.
    """
    if uri.endswith(".npz"):
        return checkpoints.unpacked(storage.read_bytes(uri))
    import keras

    from model.networks import build_network, unfolded

    keras.utils.set_random_seed(seed)
    network: Any = build_network(recipe.network, recipe.input.shape, recipe.heads)
    unfolded(load_network(open_bundle(uri)), network, pixels)
    return network.get_weights()
