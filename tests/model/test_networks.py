"""Networks: the sizes that are promised, for every preset and precision."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from model.bundle import load_network, write_bundle
from model.layers import FusedBatchNorm
from model.networks import (
    build_network,
    count_flops,
    describe,
    folded,
    unfolded,
    with_precision,
)
from model.presets import PRESETS, preset
from model.recipes import Residual


def built(name: str, precision: str = "float32") -> keras.Model:
    recipe = preset(name)
    return build_network(recipe.network, recipe.input.shape, recipe.heads, precision)


def pixels(name: str, count: int = 4) -> Any:
    shape = (count, *preset(name).input.shape)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def seed_final() -> keras.Model:
    return built("seed-final")


def test_seed_final_is_the_seeds_network(seed_final: keras.Model) -> None:
    assert seed_final.count_params() == 3_667_202
    kernels = [tuple(layer.kernel.shape) for layer in seed_final.layers if hasattr(layer, "kernel")]
    assert kernels[:5] == [
        (3, 3, 1, 32), (3, 3, 32, 64), (3, 3, 64, 128), (3, 3, 128, 256), (3, 3, 256, 512),
    ]  # fmt: skip
    assert sorted(kernels[5:]) == [(512, 1), (512, 1), (2048, 512), (2048, 512)]
    assert [y.activation.__name__ for y in map(seed_final.get_layer, ("gender", "age"))] == [
        "sigmoid", "relu",
    ]  # fmt: skip


def test_seed_final_costs_0389_gflop_an_image(seed_final: keras.Model) -> None:
    assert count_flops(seed_final) == pytest.approx(0.389e9, rel=0.01)


def test_description_names_weights_cost_and_input() -> None:
    recipe = preset("seed-final")
    text = describe(recipe.network, recipe.input.shape, recipe.heads)
    assert text == "3,667,202 weights, 0.389 GFLOP per image, input 128x128x1"


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_gives_its_heads_in_their_ranges(name: str) -> None:
    outputs: Any = built(name)(pixels(name))
    assert set(outputs) == {head.name for head in preset(name).heads}
    for head in preset(name).heads:
        values = np.asarray(outputs[head.name])
        assert (values.shape, values.dtype) == ((4, head.width), np.float32)
        if head.activation == "softmax":
            assert values.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_layer_has_a_name_of_ours(name: str) -> None:
    """Keras's default names count up within a process and would change the bundle's id."""
    assert built(name).get_config()["layers"] == built(name).get_config()["layers"]


@pytest.mark.parametrize("name", ["demo", "facemill"])
def test_bfloat16_copy_keeps_float32_heads_and_close_outputs(name: str) -> None:
    network = built(name)
    heads = [head.name for head in preset(name).heads]
    copy = with_precision(network, "bfloat16", heads)
    assert {str(copy.get_layer(head).compute_dtype) for head in heads} == {"float32"}
    body = [y for y in copy.layers if isinstance(y, keras.layers.Conv2D)]
    assert {str(layer.compute_dtype) for layer in body} == {"bfloat16"}
    assert {str(layer.variable_dtype) for layer in body} == {"float32"}
    full: Any = network(pixels(name))
    half: Any = copy(pixels(name))
    for head in preset(name).heads:
        one, other = np.asarray(full[head.name]), np.asarray(half[head.name])
        assert other.dtype == np.float32
        assert other == pytest.approx(one, abs=0.02 * max(1.0, float(np.abs(one).max())))


def test_copy_does_not_share_weights_with_the_original() -> None:
    network = built("demo")
    copy = with_precision(network, "float32", ["gender", "age"])
    before = np.asarray(network(pixels("demo"))["age"])
    copy.set_weights([weight * 0 for weight in copy.get_weights()])
    assert (np.asarray(network(pixels("demo"))["age"]) == before).all()


def test_fused_batch_norm_is_batch_norm() -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    images: Any = tf.constant(rng.normal(3.0, 2.0, (6, 5, 5, 4)).astype(np.float32))
    weights = [rng.uniform(0.5, 1.5, 4) for _ in range(4)]
    found = []
    for kind in (keras.layers.BatchNormalization, FusedBatchNorm):
        layer: Any = kind(momentum=0.97)
        layer.build(images.shape)
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            tape.watch(images)
            trained = layer(images, training=True)
            loss = tf.reduce_sum(tf.sin(trained))
        gradients = tape.gradient(loss, [images, layer.gamma.value, layer.beta.value])
        found.append([trained, *gradients, *layer.get_weights(), layer(images, training=False)])
        graph = tf.function(lambda x, layer=layer: layer(x, training=True))
        kinds = {op.type for op in graph.get_concrete_function(images).graph.get_operations()}
        assert ("FusedBatchNormV3" in kinds) == (kind is FusedBatchNorm)
    for own, fused in zip(*found, strict=True):
        np.testing.assert_allclose(own, fused, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("precision", "fused"), [("float32", False), ("bfloat16", True), ("float16", True)]
)
def test_one_worker_trains_with_fused_batch_norm_where_float32_is_not_promised(
    precision: str, fused: bool
) -> None:
    import tensorflow as tf

    from pipelines.training.replica import Replica

    tiny = dataclasses.replace(preset("facemill"), network=Residual(4, (8,), (1,)))
    replica = Replica(tiny, tf.distribute.get_strategy(), 0, 1, steps=1, precision=precision)
    norms = [x for x in replica.network.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert norms and all(isinstance(x, FusedBatchNorm) == fused for x in norms)


def test_folding_batch_norm_changes_speed_and_not_outputs() -> None:
    recipe = preset("facemill")
    trained = build_network(recipe.network, recipe.input.shape, recipe.heads)
    rng = np.random.default_rng(0)
    for layer in trained.layers:  # statistics and scales as after training, not 0 and 1
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    plain = folded(trained, recipe.network, recipe.heads)
    assert not any(isinstance(x, keras.layers.BatchNormalization) for x in plain.layers)
    pixels = rng.integers(0, 256, (4, *recipe.input.shape), dtype=np.uint8)
    before, after = trained(pixels, training=False), plain(pixels, training=False)
    for head in recipe.heads:
        np.testing.assert_allclose(before[head.name], after[head.name], atol=1e-4)
    seed = preset("seed-final")
    unchanged = build_network(seed.network, seed.input.shape, seed.heads)
    assert folded(unchanged, seed.network, seed.heads) is unchanged


def test_unfolding_gives_batch_norm_back_and_in_training_too_the_outputs_stay() -> None:
    recipe = preset("facemill")
    heads = recipe.kept_heads
    plain = build_network(recipe.network, recipe.input.shape, heads, norm="folded")
    rng = np.random.default_rng(3)
    for layer in plain.layers:  # biases as after training, not 0
        if isinstance(layer, keras.layers.Conv2D):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, rng.uniform(-0.1, 0.1, bias.shape)])
    pixels = rng.integers(0, 256, (16, *recipe.input.shape), dtype=np.uint8)
    trainable: Any = build_network(recipe.network, recipe.input.shape, recipe.heads)
    unfolded(plain, trainable, pixels)
    before, after = plain(pixels, training=False), trainable(pixels, training=False)
    for head in heads:
        np.testing.assert_allclose(before[head.name], after[head.name], atol=1e-3)
    names = [layer.name for layer in plain.layers if layer.name.endswith("_b_conv")]
    in_training = keras.Model(
        trainable.inputs[0], trainable.get_layer(names[-1][:-5] + "_bn").output
    )
    told = keras.Model(plain.inputs[0], plain.get_layer(names[-1]).output)
    np.testing.assert_allclose(in_training(pixels, training=True), told(pixels), atol=0.02)


def test_a_network_for_pictures_of_any_size_is_the_one_for_each_size() -> None:
    recipe = preset("facemill")
    any_size: Any = build_network(recipe.network, (None, None, 3), recipe.heads)
    for side in (48, 96):
        fixed: Any = build_network(recipe.network, (side, side, 3), recipe.heads)
        fixed.set_weights(any_size.get_weights())
        pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
        one, other = any_size(pixels, training=False), fixed(pixels, training=False)
        np.testing.assert_allclose(one["age"], other["age"], atol=1e-6)


@pytest.mark.parametrize("name", ["facemill", "seed-final"])
def test_an_auxiliary_head_is_left_out_and_the_others_stay_as_they_are(name: str) -> None:
    recipe = preset(name)
    last = recipe.heads[-1].name
    recipe = dataclasses.replace(recipe, auxiliary=(last,))
    trained = build_network(recipe.network, recipe.input.shape, recipe.heads)
    kept = folded(trained, recipe.network, recipe.kept_heads)
    images = np.random.default_rng(0).integers(0, 256, (3, *recipe.input.shape), dtype=np.uint8)
    before, after = trained(images, training=False), kept(images, training=False)
    assert set(after) == set(before) - {last}
    for head, values in after.items():
        np.testing.assert_allclose(values, before[head], atol=1e-4)


def test_our_network_says_nothing_of_race_unless_asked() -> None:
    assert {head.name for head in preset("facemill").kept_heads} == {"gender", "age"}


def test_local_response_normalisation_is_the_paper_s_sum_over_neighbouring_channels() -> None:
    from model.layers import LocalResponseNormalization

    x = np.random.default_rng(0).normal(0, 30, (2, 3, 3, 8)).astype(np.float32)
    expected = np.empty_like(x)
    for c in range(8):
        window = x[..., max(0, c - 2) : c + 3]
        expected[..., c] = x[..., c] / (1 + 1e-4 / 5 * (window**2).sum(-1)) ** 0.75
    np.testing.assert_allclose(LocalResponseNormalization()(x), expected, rtol=1e-5)


def test_a_bundle_with_our_own_layer_loads(tmp_path: Path) -> None:
    recipe = preset("levi-hassner-gender")
    small = dataclasses.replace(recipe.network, units=8)
    network = build_network(small, recipe.input.shape, recipe.heads)
    bundle = write_bundle(
        tmp_path, network, name="lh", input_spec=recipe.input, heads=recipe.heads, details={}
    )
    pixels = np.random.default_rng(0).integers(0, 256, (1, *recipe.input.shape), dtype=np.uint8)
    loaded = load_network(bundle)(pixels)["gender"]
    np.testing.assert_array_equal(network(pixels)["gender"], loaded)
