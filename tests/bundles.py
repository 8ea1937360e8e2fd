"""Untrained bundles for tests that need a network and not a good one."""

from pathlib import Path

from model.bundle import Bundle, write_bundle
from model.presets import preset
from model.runtime import import_tensorflow


def untrained_bundle(folder: Path, seed: int = 0) -> Bundle:
    """A bundle of the demo preset with the weights of `seed`."""
    import_tensorflow()
    import keras

    from model.networks import build_network

    recipe = preset("demo")
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
