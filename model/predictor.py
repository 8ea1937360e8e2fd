"""The network as scoring uses it: one compiled function of fixed batch, uint8 in, columns out."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from model import heads
from model.bundle import Bundle, load_network
from model.runtime import import_tensorflow
from model.views import Views, averaged

Precision = Literal["float32", "bfloat16", "float16"]


def fastest_precision() -> Precision:
    """bfloat16 where this machine's CPU multiplies it in hardware, else float32.

    Asked of the CPU's flags and not of a clock, so that every run on such a machine agrees:
    with AVX512-BF16 seed-final does twice the images (docs/benchmarks/scoring.md); without it,
    bfloat16 is emulated and slower. Needs no TensorFlow.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "float32"
    has = any(f" {flag}" in flags for flag in ("avx512_bf16", "amx_bf16", "bf16 "))
    return "bfloat16" if has else "float32"


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
