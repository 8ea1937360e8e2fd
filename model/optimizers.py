"""Optimizers and learning-rate schedules of the recipes, in pure Keras 3."""

import dataclasses
import math
from typing import Any

import keras

from model.recipes import Optimizer


class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then constant, cosine to zero (Loshchilov 2017) or one step of 1/10."""

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        """Cover `steps` optimizer steps as `optimizer` says."""
        self.optimizer, self.steps = optimizer, steps

    def __call__(self, step: Any) -> Any:
        """Learning rate at `step`, a float32 scalar."""
        ops, spec = keras.ops, self.optimizer
        step = ops.cast(step, "float32")
        warmup = float(max(1, round(spec.warmup_share * self.steps)))
        rate = spec.learning_rate
        if spec.schedule == "cosine":
            progress = ops.clip((step - warmup) / max(1.0, self.steps - warmup), 0.0, 1.0)
            rate = rate * 0.5 * (1.0 + ops.cos(math.pi * progress))
        elif spec.schedule == "step":
            rate = ops.where(step < spec.step_after, rate, rate / 10.0)
        return (
            rate * ops.minimum(1.0, (step + 1.0) / warmup)
            if spec.warmup_share
            else rate + 0.0 * step
        )

    def get_config(self) -> dict[str, Any]:
        """Plain data, as Keras asks of a schedule."""
        return {"optimizer": dataclasses.asdict(self.optimizer), "steps": self.steps}


def build_optimizer(spec: Optimizer, steps: int) -> keras.optimizers.Optimizer:
    """The Keras optimizer of a recipe.

    Args:
        spec: what to build.
        steps: optimizer steps of the whole run, over which the schedule stretches.
    """
    rate: Any = (
        spec.learning_rate if spec.schedule == "constant" and not spec.warmup_share else None
    )
    if rate is None:
        rate = WarmupSchedule(spec, steps)
    if spec.name == "sgd":
        return keras.optimizers.SGD(
            rate, momentum=spec.momentum, weight_decay=spec.weight_decay or None
        )
    if spec.name == "adamw":
        built = keras.optimizers.AdamW(rate, weight_decay=spec.weight_decay)
        # Decoupled decay is for kernels: decaying biases and batch-norm scales costs accuracy.
        built.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        return built
    return keras.optimizers.Adam(rate)
