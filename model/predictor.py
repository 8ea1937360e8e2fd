"""The network as scoring uses it: one compiled function of fixed batch, uint8 in, columns out."""

from typing import Any

import numpy as np
import numpy.typing as npt

from model import calibration, heads
from model.bundle import Bundle, load_network
from model.calibration import Reading
from model.precision import Precision
from model.runtime import import_tensorflow
from model.views import Views, averaged


class Predictor:
    """A loaded network. Costs seconds and some 500 MB to make, so make one a process.

    Attributes:
        bundle: what it was loaded from.
        batch_size: rows a call of the network takes; fewer are filled up, so it is traced once.
    """

    def __init__(
        self,
        bundle: Bundle,
        precision: Precision = "float32",
        batch_size: int = 64,
        threads: int | None = None,
        views: Views = 1,
    ) -> None:
        """Load, compile and warm up the network.

        Args:
            bundle: what to load.
            precision: of the network's body; its heads stay in float32.
            batch_size: rows a call.
            threads: of TensorFlow in this process; None for all cores.
            views: of each picture, whose outputs are averaged: see model/views.py.

        Raises:
            BundleError: the bundle cannot be loaded.
            UsageError: ten views of a network that takes the whole picture.
        """
        tf = import_tensorflow(threads)
        self.bundle, self.batch_size = bundle, batch_size
        network: Any = load_network(bundle, precision)
        forward = averaged(lambda pixels: network(pixels, training=False), bundle, views)
        shape = (batch_size, *bundle.input.shape)
        signature = [tf.TensorSpec(shape, tf.uint8)]
        self._forward: Any = tf.function(forward, input_signature=signature, autograph=False)
        self._network = network  # the function holds its variables weakly
        self._forward(np.zeros(shape, dtype=np.uint8))

    def predict(self, pixels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        """Predict any number of images.

        Args:
            pixels: uint8 (n, height, width, channels) of the bundle's input.

        Returns:
            The columns of `heads.read_out`, float32 of shape (n,).
        """
        parts: list[dict[str, npt.NDArray[np.float32]]] = []
        for start in range(0, len(pixels), self.batch_size):
            batch = pixels[start : start + self.batch_size]
            count = len(batch)
            if count < self.batch_size:
                filled = np.zeros((self.batch_size, *batch.shape[1:]), dtype=np.uint8)
                filled[:count] = batch
                batch = filled
            outputs = self._forward(batch)
            columns = heads.read_out(
                self.bundle.heads, {name: np.asarray(v)[:count] for name, v in outputs.items()}
            )
            parts.append(columns)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def answers(
        self, pixels: npt.NDArray[np.uint8], reading: Reading
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Predict and calibrate: what scoring writes.

        Args:
            pixels: as for `predict`.
            reading: coverage of the age interval, binning of the age groups.

        Returns:
            The columns of `calibration.apply`, float32 of shape (n,).
        """
        fitted = self.bundle.record.get("calibration")
        return calibration.apply(self.predict(pixels), fitted, reading, self.bundle.heads)
