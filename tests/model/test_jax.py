"""The networks are pure Keras: on JAX, where a GPU may train them, they are what they are here."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from model.bundle import load_network
from model.networks import build_network
from model.presets import preset
from model.recipes import Augmentation
from pipelines.bundles.opening import open_bundle

NAMES = ("seed-final", "levi-hassner-gender", "facemill")
# A process of its own: a backend is chosen once, when Keras is imported.
ON_JAX = """
import sys
from pathlib import Path
import jax
import keras
import numpy as np
from model.augmentation import augment, draw
from model.bundle import load_network, read_bundle
from model.losses import score_sums, total_loss
from model.networks import build_network
from model.presets import preset
from model.recipes import Augmentation

assert keras.backend.backend() == "jax"
found = {}
shipped = load_network(read_bundle(Path(sys.argv[2])))
pixels = np.load(f"{sys.argv[1]}/facemill.npz")["pixels"]
for head, values in jax.jit(shipped)(pixels).items():
    found[f"shipped/{head}"] = np.asarray(values)
for name in sys.argv[3:]:
    recipe, given = preset(name), np.load(f"{sys.argv[1]}/{name}.npz")
    network = build_network(recipe.network, recipe.input.shape, recipe.heads)
    weights = [given[f"{i:04d}"] for i in range(len(network.get_weights()))]
    network.set_weights(weights)
    outputs = jax.jit(lambda images: network(images, training=False))(given["pixels"])
    found |= {f"{name}/{head}": np.asarray(values) for head, values in outputs.items()}
    augmented = jax.jit(augment, static_argnums=2)
    draws = draw(0, 0, len(given["pixels"]))
    found[f"{name}/augmented"] = np.asarray(augmented(given["pixels"], draws, recipe.augmentation))
    soft = Augmentation(blur=2.0, shrink=0.7, noise=0.05)
    found[f"{name}/soft/augmented"] = np.asarray(augmented(given["pixels"], draw(0, 0, 1), soft))
    targets = {head.name: np.float32([[1.0]]) for head in recipe.heads}
    ones = np.ones(1, np.float32)
    found[f"{name}/loss"] = np.asarray(total_loss(recipe.heads, targets, outputs, ones)[0])
    found[f"{name}/scores"] = np.asarray(score_sums(recipe.heads, targets, outputs, ones))
np.savez(f"{sys.argv[1]}/found.npz", **found)
"""


def test_networks_losses_and_augmentation_are_the_same_on_jax(tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="jax is missing: make setup")
    from model.augmentation import augment, draw
    from model.losses import score_sums, total_loss

    keras.utils.set_random_seed(0)  # of some weights a probability is so small that its log differs
    expected: dict[str, np.ndarray] = {}
    for name in NAMES:
        recipe = preset(name)
        network = build_network(recipe.network, recipe.input.shape, recipe.heads)
        shape = (1, *recipe.input.shape)
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        weights = {f"{i:04d}": value for i, value in enumerate(network.get_weights())}
        np.savez(tmp_path / f"{name}.npz", pixels=pixels, **weights)
        outputs = network(pixels, training=False)
        expected |= {f"{name}/{head}": np.asarray(values) for head, values in outputs.items()}
        augmented = augment(pixels, draw(0, 0, 1), recipe.augmentation)
        expected[f"{name}/augmented"] = np.asarray(augmented)
        soft = Augmentation(blur=2.0, shrink=0.7, noise=0.05)
        expected[f"{name}/soft/augmented"] = np.asarray(augment(pixels, draw(0, 0, 1), soft))
        targets = {head.name: np.float32([[1.0]]) for head in recipe.heads}
        ones = np.ones(1, np.float32)
        expected[f"{name}/loss"] = np.asarray(total_loss(recipe.heads, targets, outputs, ones)[0])
        expected[f"{name}/scores"] = np.asarray(score_sums(recipe.heads, targets, outputs, ones))
    shipped = open_bundle(None)
    with np.load(tmp_path / "facemill.npz") as given:
        outputs = load_network(shipped)(given["pixels"])
    expected |= {f"shipped/{head}": np.asarray(values) for head, values in outputs.items()}
    environment = {
        **os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu",
        # Each operation is compiled to be run once: a quarter less to do without making it fast.
        "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ON_JAX, str(tmp_path), str(shipped.folder), *NAMES],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "found.npz") as found:
        assert set(found.files) == set(expected)
        for name, values in expected.items():
            if name.endswith("/augmented"):  # rounded to whole levels, now and then the other way
                assert np.abs(found[name].astype(int) - values).max() <= 1, name
            else:
                np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
