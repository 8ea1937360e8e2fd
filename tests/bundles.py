"""Untrained bundles for tests that need a network and not a good one."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.backends.quantization import write_float, write_int8
from model.bundle import Bundle, load_network, with_details, write_bundle
from model.presets import preset
from model.runtime import import_tensorflow


def untrained_bundle(folder: Path, seed: int = 0, name: str = "demo") -> Bundle:
    """A bundle of a preset with the weights of `seed`."""
    import_tensorflow()
    import keras

    from model.networks import build_network

    recipe = preset(name)
    keras.utils.set_random_seed(seed)
    network = build_network(recipe.network, recipe.input.shape, recipe.heads)
    return write_bundle(
        folder,
        network,
        name=recipe.name,
        input_spec=recipe.input,
        heads=recipe.heads,
        details={"recipe": recipe.to_json()},
    )


def with_engines(
    bundle: Bundle, folder: Path, pictures: npt.NDArray[np.uint8] | None = None
) -> Bundle:
    """A copy of a bundle with networks for OpenVINO; an int8 one too, quantized on `pictures`.

    Args:
        bundle: to copy.
        folder: of the copy.
        pictures: uint8 (n, height, width, channels).
    """
    made = folder.parent / f"{folder.name}-made"
    made.mkdir()
    network: Any = load_network(bundle)
    write_float(network, made)
    details: dict[str, Any] = {}
    if pictures is not None:
        write_int8(pictures, made)
        fitted = {"format": 1, "gender": None, "age": None}
        details["int8"] = {"changes": {}, "calibration": fitted}
    return with_details(bundle, folder, details, sorted(made.iterdir()))
