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


class Muon(keras.optimizers.Muon):
    """Muon (Jordan 2024) for convolutions, as flat matrices; AdamW for all other variables.

    Keras's own class takes matrices alone. The update's size is matched to AdamW's (Liu 2025), so
    learning rate and weight decay mean the same.
    """

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) != 4

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        ops: Any = keras.ops
        self.assign_add(m, gradient + m * (self.momentum - 1.0))
        ahead = gradient + self.momentum * m
        matrix = ops.reshape(ahead, (-1, variable.shape[-1]))
        # bfloat16 is enough for the iteration, and half its cost (Jordan 2024).
        update = self.zeropower_via_newtonschulz5(ops.cast(matrix, "bfloat16"), self.ns_steps)
        update = self.lr_adjust(lr * ops.cast(update, "float32"))
        self.assign_sub(variable, ops.reshape(update, variable.shape))


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
    if spec.name in ("adamw", "muon"):
        decay: dict[str, Any] = {"weight_decay": spec.weight_decay}
        built: Any = (
            keras.optimizers.AdamW(rate, **decay) if spec.name == "adamw"
            else Muon(rate, adam_weight_decay=spec.weight_decay, **decay)
        )  # fmt: skip
        # Decoupled decay is for kernels: decaying biases and batch-norm scales costs accuracy.
        built.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        return built
    return keras.optimizers.Adam(rate)
