"""The network as scoring uses it: one function of fixed batch, uint8 in, columns out."""

import numpy as np
import numpy.typing as npt

from model import calibration, heads
from model.backends.selection import REFERENCE, Compute
from model.bundle import Bundle
from model.calibration import Reading
from model.tta import Views


class Predictor:
    """A loaded network. Costs time and memory to make, so make one a process.

    Attributes:
        bundle: what it was loaded from.
        compute: by which backend, in which precision.
        batch_size: rows a call of the network takes; fewer are filled up, so it is compiled once.
    """

    def __init__(
        self,
        bundle: Bundle,
        compute: Compute = REFERENCE,
        batch_size: int = 64,
        threads: int | None = None,
        views: Views = 1,
    ) -> None:
        """Load and compile the network.

        Args:
            bundle: what to load.
            compute: by which backend, in which precision: see `selection.choose`.
            batch_size: rows a call.
            threads: of the backend in this process; None for all cores.
            views: of each image, whose outputs are averaged: see model/tta.py.

        Raises:
            BundleError: the bundle cannot be loaded.
            UsageError: ten views of a network that takes the whole image.
        """
        self.bundle, self.compute, self.batch_size = bundle, compute, batch_size
        # Imported here: a backend is loaded only where it computes.
        if compute.engine == "openvino":
            from model.backends.openvino import load
        else:
            from model.backends.tensorflow import load
        self._forward = load(bundle, compute.precision, batch_size, threads, views)

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
        fitted = self.bundle.calibration_in(self.compute.precision)
        return calibration.apply(self.predict(pixels), fitted, reading, self.bundle.heads)
