"""A bundle's networks for OpenVINO: made, and checked against the one that was trained."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.backends.openvino import load
from model.backends.quantization import write_float, write_int8
from model.bundle import FLOAT_FILES, INT8_FILES, Bundle, load_network
from model.runtime import import_tensorflow
from pipelines.bundles.exporting import TOLERANCE, trial_pictures
from pipelines.telemetry.log import note

NOT_ASKED = "it was not asked for"  # why a bundle has no int8 network


@dataclasses.dataclass(frozen=True)
class Networks:
    """What was made.

    Attributes:
        float_files: for float32 and bfloat16; none where OpenVINO computes something else.
        int8_files: for int8; none where there were no images to quantize on.
        int8: the bundle with the int8 network beside it, to be judged; or None.
        pictures: on which it was quantized.
        refused: why there is none, or nothing.
    """

    float_files: tuple[Path, ...] = ()
    int8_files: tuple[Path, ...] = ()
    int8: Bundle | None = None
    pictures: int = 0
    refused: str = ""


def make_networks(bundle: Bundle, sample: npt.NDArray[np.uint8] | None, folder: Path) -> Networks:
    """Write a bundle's network for OpenVINO below `folder`, in float and maybe in int8.

    Args:
        bundle: whose network it is.
        sample: images to quantize on, uint8 (n, height, width, channels); None: no int8.
        folder: of the files.
    """
    import_tensorflow()
    network: Any = load_network(bundle)
    write_float(network, folder)
    here = dataclasses.replace(bundle, folder=folder)
    pixels = trial_pictures(bundle)
    wanted = {name: np.asarray(value) for name, value in network(pixels, training=False).items()}
    found = load(here, "float32", len(pixels), None, 1)(pixels)
    worst = max(float(np.abs(wanted[name] - found[name]).max()) for name in wanted)
    if not worst <= TOLERANCE:
        return Networks(refused=f"OpenVINO's outputs differ from the network's by {worst:.2g}")
    floats = tuple(folder / name for name in FLOAT_FILES)
    if sample is None or not len(sample):
        return Networks(floats)
    note(f"making an int8 network, calibrated on {len(sample)} images: half a minute")
    write_int8(sample, folder)
    return Networks(floats, tuple(folder / name for name in INT8_FILES), here, len(sample))
