"""Layers that Keras 3 lacks, in `keras.ops`; registered, so a bundle names them without code."""

from typing import Any

import keras
import numpy as np
from keras import ops


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
