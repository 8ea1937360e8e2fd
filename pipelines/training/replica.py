"""Network, optimizer and compiled steps of one worker of a training group.

All that a step does is either done by every rank alike or summed over the ranks, so their weights
stay equal to the bit (tests/pipelines/training/test_equality.py).
"""

import time
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model.bundle import Bundle
from model.recipes import Recipe
from pipelines.training.checkpoints import Arrays, assign_all
from pipelines.training.feeding import Batch, Feed, places_of
from pipelines.training.teachers import Teachers, with_stored

_VAL_BATCH = 128
# Keras's own values: double the scale after so many good steps, halve it at once after a bad one.
_FIRST_SCALE, _GOOD_STEPS = 2.0**15, 2000
# No tensor decides where Python goes: rewriting it for that would cost 1 to 2 s a worker.
_TRACED = {"reduce_retracing": True, "autograph": False}


class Replica:
    """One worker's copy.

    Attributes:
        network: the Keras network.
        places: of this worker's images in each global batch.
        best: weights of the best epoch, in the order of `network.set_weights`.
        evaluated: weights that the last validation measured, in that order.
        scaling: of float16: scale, good steps since it changed, steps given up.
    """

    def __init__(
        self,
        recipe: Recipe,
        strategy: Any,
        rank: int,
        workers: int,
        *,
        steps: int,
        seed: int = 0,
        precision: str = "float32",
        accumulate: int = 1,
        teachers: Sequence[Bundle] = (),
        start: Arrays | None = None,
    ) -> None:
        """Build the network under the strategy, the same on every rank.

        Args:
            recipe: what to train.
            strategy: MultiWorkerMirroredStrategy.
            rank: of this worker.
            workers: in the group.
            steps: optimizer steps of the whole run, over which the schedule stretches.
            seed: of the initialisation and of dropout.
            precision: float32, bfloat16 or float16 of the network's body.
            accumulate: micro-batches that this worker's part of a batch is taken in.
            teachers: bundles whose mean output each augmented image shall be given.
            start: weights to begin with, in the order of `network.set_weights`.
        """
        import keras
        import tensorflow as tf

        from model.layers import Place, SharedDropout, norm_in_training
        from model.networks import build_network
        from model.optimizers import build_optimizer

        self.recipe, self.strategy, self.tf = recipe, strategy, tf
        self.rank, self.workers, self.accumulate = rank, workers, accumulate
        self.places = places_of(recipe.global_batch_size, rank, workers, accumulate)
        keras.utils.set_random_seed(seed)
        with strategy.scope():
            self.network: Any = build_network(
                recipe.network, recipe.training_shape, recipe.heads, precision,
                norm_in_training(precision, workers), shared_dropout=True,
            )  # fmt: skip
            self.teachers = Teachers(teachers, precision)
            self.optimizer: Any = build_optimizer(recipe.optimizer, steps)
            self.optimizer.build(self.network.trainable_variables)
        step, first = self.optimizer.iterations, int(self.places[0])
        self._place = Place(step, recipe.global_batch_size, first)
        for layer in (x for x in self.network.layers if isinstance(x, SharedDropout)):
            layer.place = self._place
        if start:
            self.network.set_weights(start)
        variable: Any = tf.Variable  # outside the strategy: every rank computes the same values
        followed: Any = self.network.trainable_variables if recipe.optimizer.ema else ()
        self.averaged = [variable(v) for v in followed]
        self.scaling = [variable(v) for v in (_FIRST_SCALE, 0.0, 0.0) if precision == "float16"]
        self.best, self.evaluated = Arrays(), Arrays()
        self._train_step = tf.function(self._train_step_eager, **_TRACED)
        self._score_step = tf.function(self._score_step_eager, **_TRACED)

    def train_step(self, batch: Batch, side: int | None = None) -> Any:
        """Take one optimizer step; returns this worker's score sums, (heads, 3).

        `side` in pixels is what augmented images are shrunk to; None leaves their size.
        """
        labels = (dict(batch.targets), dict(batch.taught), batch.weights)
        return self._train_step(batch.pixels, batch.draws, labels, side)

    def _train_step_eager(self, pixels: Any, draws: Any, labels: Any, side: Any) -> Any:
        batch = (pixels, draws, labels, side)
        if not self.scaling:
            sums = self.strategy.run(self._whole_step, args=batch)
        else:
            # Put back afterwards rather than left out by tf.cond: under the strategy an all-reduce
            # cannot stand in a branch.
            # Batch norm's moving statistics too: an overflow would never leave them.
            kept = [*self.network.variables, *self.optimizer.variables]
            before = [self.tf.convert_to_tensor(v) for v in kept]
            sums, finite = self.strategy.run(self._whole_step, args=batch)
            for variable, value in zip(kept, before, strict=True):
                variable.assign(self.tf.where(finite, variable, value))
            sums = self.tf.where(finite, sums, self.tf.zeros_like(sums))
            self._rescale(finite)
        self._average()
        return sums

    def _whole_step(self, pixels: Any, draws: Any, labels: Any, side: Any) -> Any:
        tf = self.tf
        gradients, sums = self._gradients(pixels, draws, labels, side)
        if not self.scaling:
            if self.recipe.optimizer.clip_norm:
                gradients = self._clipped(self._reduced(gradients))
            self._apply(gradients)
            return sums
        # Summed over all workers first: whether the sum is finite is then the same on each.
        gradients = [g / self.scaling[0] for g in self._reduced(gradients)]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        gradients = [tf.where(finite, g, tf.zeros_like(g)) for g in gradients]
        if self.recipe.optimizer.clip_norm:
            self._apply(self._clipped(gradients))
        else:
            self._apply([g / self.workers for g in gradients])
        return sums, finite

    def _rescale(self, finite: Any) -> None:
        """Halve the loss scale after a step that overflowed, double it after many good ones."""
        tf, (scale, good, given_up) = self.tf, self.scaling
        grown = finite & (good + 1.0 >= _GOOD_STEPS)
        change = tf.where(grown, 2.0, tf.where(finite, 1.0, 0.5))
        scale.assign(tf.maximum(scale * change, 1.0))
        good.assign(tf.where(finite & ~grown, good + 1.0, 0.0))
        given_up.assign_add(tf.where(finite, 0.0, 1.0))

    def _reduced(self, gradients: Any) -> Any:
        replicas = self.tf.distribute.get_replica_context()
        return replicas.all_reduce(self.tf.distribute.ReduceOp.SUM, gradients)

    def _clipped(self, gradients: Any) -> Any:
        """Clip gradients summed over the workers; divided, as `apply_gradients` sums once more."""
        gradients, _ = self.tf.clip_by_global_norm(gradients, self.recipe.optimizer.clip_norm)
        return [g / self.workers for g in gradients]

    def _apply(self, gradients: Any) -> None:
        self.optimizer.apply_gradients(
            zip(gradients, self.network.trainable_variables, strict=True)
        )

    def _gradients(self, pixels: Any, draws: Any, labels: Any, side: Any) -> Any:
        """Gradients of this worker's part of the batch's mean loss, and its score sums.

        `labels` are targets, what was taught, and weights: see `Batch`.
        """
        if self.accumulate == 1:
            return self._micro_batch(pixels, draws, labels, side)
        tf, count = self.tf, self.accumulate
        each, first = len(self.places) // count, int(self.places[0])
        gradients: Any = []
        sums: Any = 0.0
        # A Python loop: synchronized batch norm cannot stand in tf.while_loop. Each micro-batch
        # waits for the one before, or all would be in memory at once.
        for k in range(count):
            cut = slice(k * each, (k + 1) * each)
            taken = tf.nest.map_structure(lambda values, cut=cut: values[cut], labels)
            self._place.first = first + k * (self.recipe.global_batch_size // count)
            with tf.control_dependencies(gradients):
                new, scores = self._micro_batch(pixels[cut], draws[cut], taken, side)
                gradients = [a + b for a, b in zip(gradients, new, strict=True)] if k else new
            sums = sums + scores
        self._place.first = first
        return gradients, sums

    def _micro_batch(self, pixels: Any, draws: Any, labels: Any, side: Any) -> Any:
        from model import losses
        from model.augmentation import augment_for_teachers, resized

        tf, recipe = self.tf, self.recipe
        targets, known, weights = labels
        images, as_sharp = augment_for_teachers(pixels, draws, recipe.augmentation)
        taught = with_stored(self.teachers(as_sharp), known)
        if side is not None:
            images = resized(images, side, side)
        with tf.GradientTape() as tape:
            outputs = self.network(images, training=True)
            each, _ = losses.total_loss(recipe.heads, targets, outputs, weights, taught)
            # Divided by the GLOBAL batch: apply_gradients sums over the workers.
            loss = tf.reduce_sum(each) / recipe.global_batch_size
            if self.scaling:
                loss = loss * self.scaling[0]
        gradients = tape.gradient(loss, self.network.trainable_variables)
        return gradients, losses.score_sums(recipe.heads, targets, outputs, weights)

    def _average(self) -> None:
        """Move the averaged weights towards the new ones."""
        tf, decay = self.tf, self.recipe.optimizer.ema
        if not decay:
            return
        step = tf.cast(self.optimizer.iterations, tf.float32)
        keep = tf.minimum(decay, (1.0 + step) / (10.0 + step))  # a short memory at the start
        for mean, variable in zip(self.averaged, self.network.trainable_variables, strict=True):
            mean.assign(mean * keep + tf.convert_to_tensor(variable) * (1.0 - keep))

    def _score_step_eager(self, pixels: Any, targets: Any, weights: Any, side: Any) -> Any:
        from model import losses
        from model.augmentation import resized

        pixels = pixels if side is None else resized(pixels, side, side)
        outputs = self.network(pixels, training=False)
        return losses.score_sums(self.recipe.heads, targets, outputs, weights)

    def merged(self, sums: Any) -> npt.NDArray[np.float32]:
        """Sum an array over all workers."""
        local = self.tf.constant(sums, self.tf.float32)
        every = self.strategy.run(self.tf.identity, args=(local,))
        return np.asarray(self.strategy.reduce(self.tf.distribute.ReduceOp.SUM, every, axis=None))

    def scores(self, sums: npt.NDArray[np.float32], prefix: str) -> dict[str, float]:
        """Named means of merged score sums."""
        from model import losses

        return losses.scores_from_sums(self.recipe.heads, sums, prefix)

    def validate(
        self, val: Feed, heartbeat: list[float], side: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Score this worker's share of val, with averaged weights if there are any.

        `heartbeat` gets the time of each batch's end, for the watchdog. `side` is what the images
        are shrunk to, as in training: at another size a network does worse.
        """
        mine = np.arange(len(val))[self.rank :: self.workers]
        total = np.zeros((len(self.recipe.heads), 3))
        variables = self.network.trainable_variables
        live = [np.asarray(v) for v in variables] if self.averaged else []
        if self.averaged:
            assign_all(variables, [np.asarray(v) for v in self.averaged])
        for start in range(0, len(mine), _VAL_BATCH):
            index = mine[start : start + _VAL_BATCH]
            weights = np.zeros(_VAL_BATCH, dtype=np.float32)
            weights[: len(index)] = 1.0
            index = np.resize(index, _VAL_BATCH)  # one batch shape; the filling weighs nothing
            batch = val.take(index)
            scored = self._score_step(batch.pixels, dict(batch.targets), weights, side)
            total += np.asarray(scored)
            heartbeat[0] = time.monotonic()
        self.evaluated = [np.asarray(v) for v in self.network.get_weights()]
        if live:
            assign_all(variables, live)
        return total

    def weights_differ(self) -> bool:
        """Whether the ranks' weights have drifted apart, which must never be: asked of all ranks.

        A checksum in two 16-bit halves, which float32 holds exactly; each rank adds its own column.
        """
        checksum = 0
        for variable in self.network.trainable_variables:
            checksum = zlib.crc32(np.asarray(variable).tobytes(), checksum)
        mine = np.zeros((2, self.workers), dtype=np.float32)
        mine[:, self.rank] = checksum >> 16, checksum & 0xFFFF
        return bool(np.ptp(self.merged(mine), axis=1).any())

    def is_finite(self) -> bool:
        """Whether every weight is a finite number; the same on all ranks, as the weights are."""
        return all(np.isfinite(np.asarray(v)).all() for v in self.network.variables)

    def arrays(self) -> dict[str, Arrays]:
        """All that a checkpoint must hold, by name."""
        variables = [*self.network.variables, *self.optimizer.variables]
        return {
            "state": [np.asarray(v) for v in variables],
            "averaged": [np.asarray(v) for v in self.averaged],
            "scaling": [np.asarray(v) for v in self.scaling],
            "best": self.best,
        }

    def restore(self, arrays: dict[str, Arrays]) -> None:
        """Set all state to what `arrays` returned."""
        assign_all([*self.network.variables, *self.optimizer.variables], arrays["state"])
        assign_all(self.averaged, arrays["averaged"])
        assign_all(self.scaling, arrays["scaling"])
        self.best = arrays["best"]
