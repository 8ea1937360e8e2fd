"""Layers that Keras 3 lacks, in `keras.ops`; registered, so a bundle names them without code."""

import dataclasses
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

Norm = Literal["batch", "fused", "synchronized", "folded"]


@keras.saving.register_keras_serializable(package="facemill")
class LocalResponseNormalization(keras.layers.Layer):
    """Across channels: y = x / (bias + alpha / size * sum of x^2 over `size` channels)^beta.

    Krizhevsky 2012, 3.3, with Caffe's convention of alpha divided by size; the values of Levi &
    Hassner's published network are the defaults.
    """

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, **base: Any
    ) -> None:
        """Normalise over `size` neighbouring channels."""
        super().__init__(**base)
        self.size, self.alpha, self.beta, self.bias = size, alpha, beta, bias

    def call(self, inputs: Any) -> Any:
        """Float (batch, height, width, channels) -> the same shape."""
        channels = inputs.shape[-1]
        distance = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels)))
        band = (distance <= self.size // 2).astype("float32")  # sums neighbours in one product
        neighbours: Any = ops.matmul(ops.square(inputs), ops.cast(band, inputs.dtype))
        scale = self.bias + self.alpha / self.size * neighbours
        return inputs / ops.power(scale, self.beta)

    def get_config(self) -> dict[str, Any]:
        """Plain data, as Keras asks of a layer."""
        own = {"size": self.size, "alpha": self.alpha, "beta": self.beta, "bias": self.bias}
        return {**super().get_config(), **own}


@dataclasses.dataclass
class Place:
    """Where a batch stands in the global batch: what `SharedDropout` makes its mask from.

    Attributes:
        step: number of the optimizer step, an integer tensor.
        rows: images of the global batch.
        first: place of this batch's first image in it; an integer or an integer tensor.
    """

    step: Any
    rows: int
    first: Any = 0


class SharedDropout(keras.layers.Dropout):
    """Dropout in training on any number of workers; TensorFlow only, and never in a bundle.

    The mask is a function of (seed, step, place in the global batch): keras's own would give every
    worker the same mask for other images, and other masks for another number of workers. On one
    worker it equals keras's own bit for bit.
    """

    place: Place | None = None

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Float (batch, …) -> the same shape, a share `rate` of it zero in training."""
        if not training or not self.rate or self.place is None:
            return super().call(inputs, training=training)
        import tensorflow as tf

        place, state = self.place, tf.convert_to_tensor(self.seed_generator.state)
        seed = tf.stack([state[0], tf.cast(place.step, state.dtype)])
        # As keras.random does: the stateless functions want 31 bits.
        seed = tf.cast(tf.math.floormod(seed, tf.int32.max - 1), tf.int32)
        shape = (place.rows, *inputs.shape[1:])
        noise = tf.random.stateless_uniform(shape, seed, dtype=inputs.dtype)
        noise = noise[place.first : place.first + tf.shape(inputs)[0]]
        kept = inputs * tf.constant(1 / (1 - self.rate), inputs.dtype)
        return tf.where(noise >= self.rate, kept, tf.zeros([], inputs.dtype))


class FusedBatchNorm(keras.layers.BatchNormalization):
    """Batch norm in one kernel of TensorFlow's in training; TensorFlow only, never in a bundle.

    The same function, for bfloat16 and float16: keras's own converts those to float32, then takes a
    dozen passes over the batch, of which the kernel (oneDNN's on a CPU, cuDNN's on a GPU) makes
    two. On two cores that was a quarter to a third of a training step
    (docs/benchmarks/training-step.md).
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Float (batch, height, width, channels) -> the same shape and dtype."""
        if not training or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        raw: Any = tf.raw_ops
        none: Any = tf.zeros([0])
        out = raw.FusedBatchNormV3(
            x=inputs, scale=self.gamma, offset=self.beta, mean=none, variance=none,
            epsilon=self.epsilon, data_format="NHWC", is_training=True,
        )  # fmt: skip
        pixels = tf.cast(tf.size(inputs) / tf.shape(inputs)[-1], tf.float32)
        # The kernel's variance is divided by n - 1, keras's by n.
        batch = (out.batch_mean, out.batch_variance * (1.0 - 1.0 / pixels))
        followed: Any = (self.moving_mean, self.moving_variance)
        for moving, new in zip(followed, batch, strict=True):
            moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
        return out.y


def norm_in_training(precision: str, workers: int) -> Norm:
    """The batch norm that a training on TensorFlow takes.

    Of one worker the fused kernel, but in float32, where its order of sums would show: there any
    number of workers gives the same weights to a few millionths.
    """
    if workers > 1:
        return "synchronized"
    return "batch" if precision == "float32" else "fused"
