"""The weights that a training begins with, where these are not random."""

from typing import Any

import numpy as np
import numpy.typing as npt

from model.bundle import load_network
from model.recipes import Recipe
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.training import checkpoints
from pipelines.training.checkpoints import Arrays

SAMPLE = 512  # pictures that give batch norm its statistics


def starting_weights(uri: str, recipe: Recipe, pixels: npt.NDArray[np.uint8], seed: int) -> Arrays:
    """The arrays of a weights.npz, or those of a bundle, in the order of `network.set_weights`.

    Args:
        uri: of either.
        recipe: whose network is to begin with them.
        pixels: uint8 (n, height, width, channels) of the train split, `SAMPLE` of them.
        seed: of what a bundle has not: heads that were left out of it.
    """
    if uri.endswith(".npz"):
        return checkpoints.unpacked(storage.read_bytes(uri))
    import keras

    from model.networks import build_network, unfolded

    keras.utils.set_random_seed(seed)
    network: Any = build_network(recipe.network, recipe.input.shape, recipe.heads)
    unfolded(load_network(open_bundle(uri)), network, pixels)
    return network.get_weights()
