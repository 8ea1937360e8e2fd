"""Schedules by hand; what is decayed and what is not."""

import math

import keras
import numpy as np
import pytest

from model.optimizers import WarmupSchedule, build_optimizer
from model.presets import preset
from model.recipes import Optimizer


def rate(spec: Optimizer, steps: int, step: int) -> float:
    return float(np.asarray(WarmupSchedule(spec, steps)(step)))


def test_warm_up_rises_in_a_line_and_cosine_falls_to_zero() -> None:
    spec = Optimizer("adamw", 0.8, "cosine", warmup_share=0.1)
    assert [rate(spec, 100, step) for step in (0, 4, 9)] == pytest.approx([0.08, 0.4, 0.8])
    assert rate(spec, 100, 55) == pytest.approx(0.4)  # half of the way from 10 to 100
    assert rate(spec, 100, 32) == pytest.approx(0.4 * (1 + math.cos(math.pi * 22 / 90)))
    assert rate(spec, 100, 100) == pytest.approx(0, abs=1e-7)


def test_levi_and_hassner_fall_to_a_tenth_after_ten_thousand_steps() -> None:
    spec = preset("levi-hassner-age").optimizer
    assert [rate(spec, 20_000, step) for step in (0, 9_999, 10_000, 19_999)] == pytest.approx(
        [1e-3, 1e-3, 1e-4, 1e-4]
    )


def test_kernels_decay_and_biases_and_batch_norm_do_not() -> None:
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.add(keras.layers.BatchNormalization())
    network.set_weights([np.full_like(w, 2.0) for w in network.get_weights()])
    optimizer = build_optimizer(Optimizer("adamw", 0.5, weight_decay=0.1), steps=10)
    optimizer.build(network.trainable_variables)
    optimizer.apply([np.zeros(v.shape, np.float32) for v in network.trainable_variables])
    values = {v.name: float(np.asarray(v).ravel()[0]) for v in network.trainable_variables}
    assert values == pytest.approx({"kernel": 2 - 0.5 * 0.1 * 2, "bias": 2, "gamma": 2, "beta": 2})


def test_muon_turns_a_convolution_s_update_into_equal_steps_in_all_directions() -> None:
    """Of AdamW's size, about 0.2 of the rate a weight (Liu 2025), whatever the gradient's scale."""
    rng = np.random.default_rng(0)
    gradients = [rng.normal(0, 1e-3, (3, 3, 32, 16)), rng.normal(0, 1e-3, (16, 2))]
    gradients[0][..., 0] *= 100  # one filter's gradient outweighs all others'
    kernel, dense = (keras.Variable(np.zeros(g.shape, np.float32)) for g in gradients)
    optimizer = build_optimizer(Optimizer("muon", 0.01), steps=10)
    optimizer.build([kernel, dense])
    optimizer.apply([g.astype(np.float32) for g in gradients])
    update = np.asarray(kernel).reshape(-1, 16) / 0.01
    sizes = np.linalg.svd(update, compute_uv=False)
    assert sizes.min() / sizes.max() > 0.6  # of the gradient it is 0.008
    assert 0.13 < np.sqrt((update**2).mean()) < 0.25  # five rounds end at 0.7 to 1.2 of the goal
    assert (np.sign(update) == -np.sign(gradients[0].reshape(-1, 16))).mean() > 0.7
    # Dense layers get AdamW: its first step is the sign of the gradient, where that is no trifle.
    large = np.abs(gradients[1]) > 1e-4
    expected = -0.01 * np.sign(gradients[1])
    np.testing.assert_allclose(np.asarray(dense)[large], expected[large], rtol=0.05)
