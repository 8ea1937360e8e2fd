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
