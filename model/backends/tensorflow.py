"""The reference backend: a bundle's Keras network as one compiled function of TensorFlow."""

from typing import Any

import numpy as np

from model.backends.forward import Forward
from model.bundle import Bundle, load_network
from model.runtime import import_tensorflow
from model.tta import Views, averaged


def load(
    bundle: Bundle, precision: str, batch_size: int, threads: int | None, views: Views
) -> Forward:
    """Load, compile and warm up the network: see `Predictor`."""
    tf = import_tensorflow(threads)
    network: Any = load_network(bundle, precision)
    mean = averaged(lambda pixels: network(pixels, training=False), bundle, views)
    shape = (batch_size, *bundle.input.shape)
    signature = [tf.TensorSpec(shape, tf.uint8)]
    compiled: Any = tf.function(mean, input_signature=signature, autograph=False)

    def forward(pixels: Any) -> dict[str, Any]:
        # `network` is named here, as the compiled function holds its variables weakly.
        assert network is not None
        return {name: np.asarray(value) for name, value in compiled(pixels).items()}

    forward(np.zeros(shape, dtype=np.uint8))
    return forward
