"""What a backend gives: the network as a function."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

# uint8 (batch_size, height, width, channels) -> head name -> float32 (batch_size, head.width)
Forward = Callable[[npt.NDArray[np.uint8]], Mapping[str, npt.NDArray[Any]]]
