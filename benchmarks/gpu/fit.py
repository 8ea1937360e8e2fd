"""One recipe's training on one GPU: `model/` on JAX, its steps compiled twenty at a time.

What `pipelines/training/replica.py` does by TensorFlow on many workers, for one that has all pixels
in its memory: the same networks, losses, augmentation, optimizer and averaged weights.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import numpy.typing as npt

from model import losses
from model.augmentation import DRAWS_PER_IMAGE, augment_for_teachers
from model.networks import build_network
from model.optimizers import Muon, WarmupSchedule
from model.recipes import Recipe

CHUNK = 20  # optimizer steps in one call of the GPU
_SHOWN_S = 10.0
Indices = npt.NDArray[np.int64]
Weights = tuple[Any, Any]  # averaged trainable variables, and the others


class _Given(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate that each step is given: compiled steps serve trainings of any length."""

    value: Any = 0.0

    def __call__(self, step: Any) -> Any:
        """What was set before the step was traced."""
        return self.value

    def get_config(self) -> dict[str, Any]:
        """Plain data, as Keras asks of a schedule."""
        return {}


class Fit:
    """Compiled steps of one recipe, taught by the networks of another one or by none."""

    def __init__(
        self,
        recipe: Recipe,
        pixels: Mapping[int, Any],
        batch: int,
        teacher: "Fit | None" = None,
    ) -> None:
        """Build the network.

        Args:
            recipe: what to train; its optimizer is Muon, its schedule a cosine.
            pixels: side -> uint8 (rows, side, side, 3) on the GPU, of the recipe and its teachers.
            batch: images a step.
            teacher: the recipe of those that teach it.
        """
        self.recipe, self.pixels, self.batch = recipe, pixels, batch
        self.teacher = teacher
        self.network = self._built()
        self.rate: Any = _Given()
        decay = recipe.optimizer.weight_decay
        self.optimizer: Any = Muon(self.rate, weight_decay=decay, adam_weight_decay=decay)
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.optimizer.build(self.network.trainable_variables)
        # Pixels are an argument: closed over, they would be compiled in as a constant of 1 GB.
        self._chunk = jax.jit(self._chunk_of_steps, donate_argnums=(0,))
        self._answer = jax.jit(self._answered)

    def _built(self) -> Any:
        recipe = self.recipe
        return build_network(recipe.network, recipe.input.shape, recipe.heads, "bfloat16")

    def _fresh(self, seed: int) -> Any:
        """State of a training that begins: network, optimizer, averaged weights."""
        keras.utils.set_random_seed(seed)
        one = self._built()
        trainable = [jnp.array(v.value) for v in one.trainable_variables]
        others = [jnp.array(v.value) for v in one.non_trainable_variables]
        optimizer = [jnp.array(v.value) for v in self.optimizer.variables]
        return trainable, others, optimizer, [jnp.array(v) for v in trainable]

    def _taught(self, pixels: Mapping[int, Any], rows: Any, draws: Any, told: Any) -> Any:
        """Head name -> the teachers' mean answer to the very same pictures, in their own size."""
        if self.teacher is None:
            return {}
        recipe = self.teacher.recipe
        _, seen = augment_for_teachers(
            pixels[recipe.input.height][rows], draws, recipe.augmentation
        )
        answers = [
            self.teacher.network.stateless_call(*weights, seen, training=False)[0]
            for weights in told
        ]
        return {name: sum(each[name] for each in answers) / len(answers) for name in answers[0]}

    def _step(self, state: Any, given: Any, labels: Any, pixels: Any, told: Any) -> Any:
        recipe, (rows, rate, key) = self.recipe, given
        trainable, others, optimizer, averaged = state
        draws = jax.random.uniform(key, (self.batch, DRAWS_PER_IMAGE))
        own = pixels[recipe.input.height][rows]
        images, _ = augment_for_teachers(own, draws, recipe.augmentation)
        targets = {name: values[rows] for name, values in labels.items()}
        taught = self._taught(pixels, rows, draws, told)
        ones = jnp.ones(self.batch)

        def loss(trainable: Any) -> Any:
            outputs, after = self.network.stateless_call(trainable, others, images, training=True)
            each, _ = losses.total_loss(recipe.heads, targets, outputs, ones, taught)
            return jnp.mean(each), (outputs, after)

        (_, (outputs, others)), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
        self.rate.value = rate
        count = optimizer[0]  # Keras's `iteration`
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        keep = jnp.minimum(recipe.optimizer.ema or 0.0, (1.0 + count) / (10.0 + count))
        averaged = [
            mean * keep + value * (1.0 - keep)
            for mean, value in zip(averaged, trainable, strict=True)
        ]
        sums = losses.score_sums(recipe.heads, targets, outputs, ones)
        return (trainable, others, optimizer, averaged), sums

    def _chunk_of_steps(self, state: Any, key: Any, index: Any, rates: Any, *given: Any) -> Any:
        def step(state: Any, one: Any) -> Any:
            return self._step(state, one, *given)

        keys = jax.random.split(key, CHUNK)
        state, sums = jax.lax.scan(step, state, (index, rates, keys))
        return state, jnp.sum(sums, axis=0)

    def _answered(self, averaged: Any, others: Any, images: Any) -> Any:
        return self.network.stateless_call(averaged, others, images, training=False)[0]

    def train(
        self,
        name: str,
        learned: Indices,
        pictures: Indices,
        labels: Mapping[str, Any],
        epochs: float,
        seed: int,
        told: Sequence[Weights] = (),
    ) -> Weights:
        """Train from random weights, a cosine to zero over the whole of it.

        Args:
            name: for the progress lines.
            learned: rows to learn from.
            pictures: for each row of all, which picture it is of. An epoch is each picture once,
                in one of its rows.
            labels: head name -> float32 (rows, 1) on the GPU, NaN where unlabelled.
            epochs: how many.
            seed: of weights, order and augmentation.
            told: weights of the teachers.
        """
        random, key = np.random.default_rng(seed), jax.random.key(seed)
        count = len(np.unique(pictures[learned]))
        steps = max(1, round(epochs * count / self.batch / CHUNK)) * CHUNK
        rates = np.asarray(WarmupSchedule(self.recipe.optimizer, steps)(np.arange(steps)))
        queue = np.empty(0, np.int64)
        state, progress = self._fresh(seed), _Progress(name, self.recipe, steps, self.batch)
        for first in range(0, steps, CHUNK):
            while len(queue) < CHUNK * self.batch:
                queue = np.concatenate([queue, _one_row_each(random, learned, pictures)])
            index, queue = np.split(queue, [CHUNK * self.batch])
            key, own = jax.random.split(key)
            state, sums = self._chunk(
                state, own, index.reshape(CHUNK, self.batch), rates[first : first + CHUNK],
                labels, self.pixels, list(told),
            )  # fmt: skip
            progress.advance(first + CHUNK, sums)
        _, others, _, averaged = jax.block_until_ready(state)
        progress.end()
        return averaged, others

    def measure(
        self,
        name: str,
        weights: Weights,
        rows: Indices,
        labels: Mapping[str, Any],
        found: npt.NDArray[np.bool_],
    ) -> dict[str, list[float]]:
        """Age MAE in years, right genders and rows, of whole pictures and of faces found in them.

        Args:
            name: for the line that is printed.
            weights: from `train`.
            rows: to be answered.
            labels: as in `train`.
            found: bool (all rows), whether a row is a face found in its picture.
        """
        size, pixels = 512, self.pixels[self.recipe.input.height]
        parts: list[dict[str, Any]] = []
        for first in range(0, len(rows), size):
            said = self._answer(*weights, pixels[np.resize(rows[first : first + size], size)])
            parts.append({n: np.asarray(v)[: len(rows) - first] for n, v in said.items()})
        age = np.concatenate([part["age"] for part in parts])
        female = np.concatenate([part["gender"] for part in parts])[:, 0] >= 0.5
        error = np.abs(age @ np.arange(age.shape[1]) - np.asarray(labels["age"])[rows, 0])
        right = female == (np.asarray(labels["gender"])[rows, 0] >= 0.5)
        kinds = {"whole": ~found[rows], "found": found[rows]}
        scores = {
            kind: [float(error[at].mean()), float(right[at].mean()), int(at.sum())]
            for kind, at in kinds.items()
            if at.any()
        }
        print(f"{name}: {json.dumps(scores)}", flush=True)
        return scores

    def arrays(self, weights: Weights) -> list[npt.NDArray[Any]]:
        """Weights as `network.get_weights` gives them."""
        averaged, others = weights
        network = self.network
        every = (network.trainable_variables, averaged), (network.non_trainable_variables, others)
        for variables, values in every:
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        return [np.asarray(value) for value in network.get_weights()]


class _Progress:
    """A line every ten seconds, and one at the end."""

    def __init__(self, name: str, recipe: Recipe, steps: int, batch: int) -> None:
        self.name, self.recipe, self.steps, self.batch = name, recipe, steps, batch
        self.began = self.shown = time.monotonic()
        self.sums: Any = 0.0

    def advance(self, step: int, sums: Any) -> None:
        self.sums = self.sums + sums
        now = time.monotonic()
        if now - self.shown < _SHOWN_S:
            return
        scores = losses.scores_from_sums(self.recipe.heads, np.asarray(self.sums), "train")
        self.shown, self.sums = now, 0.0
        told = " ".join(f"{name} {value:.3f}" for name, value in scores.items())
        print(f"{self.name} step {step}/{self.steps}, {told}", flush=True)

    def end(self) -> None:
        seconds = time.monotonic() - self.began
        speed = self.steps * self.batch / seconds
        print(
            f"{self.name}: {self.steps} steps of {self.batch} in {seconds:.1f} s, "
            f"{speed:,.0f} images/s",
            flush=True,
        )


def _one_row_each(random: Any, learned: Indices, pictures: Indices) -> Indices:
    """One row of each picture, in a random order."""
    order = random.permutation(learned)
    _, first = np.unique(pictures[order], return_index=True)
    return random.permutation(order[first])
