"""Per-example losses of the heads, in `keras.ops` (TensorFlow and JAX alike).

Functional losses on purpose: Keras Loss objects divide by the replica count inside a
distribution strategy's scope, so a sum over workers would come out too small.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from model.age_ranges import SPREAD_YEARS
from model.heads import Head

ops: Any = keras.ops  # carries no types: pyright takes most of its results for None
_TINY = 1e-7
# Half label, half teacher: as much as a label can be trusted that is itself somebody's estimate.
TEACHER_SHARE = 0.5


def example_losses(head: Head, target: Any, output: Any) -> Any:
    """Loss of each example for one head.

    Args:
        head: the head.
        target: float32 of shape (batch, 1) from `heads.encode_target`, or (batch, 2) where ages of
            a distribution are ranges; NaN where unlabelled.
        output: float32 of shape (batch, head.width), activated.

    Returns:
        float32 of shape (batch,): binary cross-entropy; absolute error in years; cross-entropy;
        or, for a distribution, KL(Gaussian soft label || softmax) + |expectation - age| / 4. Of a
        range see `_range_loss`. Zero where the label is missing.
    """
    known = ops.logical_not(ops.isnan(target))
    target = ops.where(known, target, ops.zeros_like(target))
    if head.kind == "binary":
        loss = keras.losses.binary_crossentropy(target, output)
    elif head.kind == "value":
        loss = keras.losses.mean_absolute_error(target, output)
    elif head.kind == "classes":
        loss = keras.losses.sparse_categorical_crossentropy(target[:, 0], output)
    else:
        loss = _distribution_loss(target[:, :1], output, head.sigma_years)
        if target.shape[-1] == 2:
            is_range = target[:, 1] > target[:, 0]
            loss = ops.where(is_range, _range_loss(target, output), loss)
    return loss * ops.cast(known[:, 0], "float32")


def _distribution_loss(age: Any, probabilities: Any, sigma_years: float) -> Any:
    """DLDL-v2 (Gao 2018): label distribution + expectation regression."""
    years = ops.arange(probabilities.shape[-1], dtype="float32")[None, :]
    log_soft = -0.5 * ops.square((years - age) / sigma_years)
    soft = ops.softmax(log_soft, axis=-1)
    divergence = _divergence(soft, probabilities)
    expectation = ops.sum(probabilities * years, axis=-1)
    # 1/4: a first guess, so that an error of 4 years weighs as much as a divergence of 1.
    return divergence + ops.abs(expectation - age[:, 0]) / 4.0


def _range_loss(ends: Any, probabilities: Any) -> Any:
    """What a distribution learns of a range, whose ends are of shape (batch, 2).

    KL(mass spread evenly over the range || softmax), as each of its years is as likely. Of a range
    wider than `SPREAD_YEARS`, most of them open ones, -log of the softmax's mass within: spread
    evenly, 70 and more would mean 93. Both + the expectation's distance to the range / 4.
    """
    years = ops.arange(probabilities.shape[-1], dtype="float32")[None, :]
    low, high = ends[:, :1], ends[:, 1:]
    within = ops.cast(ops.logical_and(years > low - 0.5, years < high + 0.5), "float32")
    even = within / ops.maximum(ops.sum(within, axis=-1, keepdims=True), 1.0)
    mass = ops.sum(within * probabilities, axis=-1)
    is_wide = (high - low)[:, 0] > SPREAD_YEARS
    outside = -ops.log(ops.maximum(mass, _TINY))
    loss = ops.where(is_wide, outside, _divergence(even, probabilities))
    expectation = ops.sum(probabilities * years, axis=-1)
    return loss + _distance(expectation, ends) / 4.0


def _distance(age: Any, ends: Any) -> Any:
    """Years from ages (batch,) to the labels, (batch, 1) or the ends of ranges (batch, 2)."""
    return ops.maximum(ops.maximum(ends[:, 0] - age, age - ends[:, -1]), 0.0)


def _divergence(truth: Any, probabilities: Any) -> Any:
    """KL(truth || probabilities) of each row: float32 (batch,)."""
    log_p = ops.log(ops.maximum(probabilities, _TINY))
    return ops.sum(truth * (ops.log(ops.maximum(truth, _TINY)) - log_p), axis=-1)


def imitation_losses(head: Head, taught: Any, output: Any) -> Any:
    """Loss of each example against what a teacher says of the same image (Hinton 2015).

    The label's loss with the teacher's output in the label's place, so that both weigh alike.

    Args:
        head: the head, the same in teacher and student.
        taught: float32 of shape (batch, head.width), the teacher's output, activated.
        output: float32 of shape (batch, head.width), the student's.

    Returns:
        float32 of shape (batch,): cross-entropy; absolute difference in years; or, for a
        distribution, KL(teacher || student) + |difference of expectations| / 4.
    """
    if head.kind == "binary":
        return keras.losses.binary_crossentropy(taught, output)
    if head.kind == "value":
        return keras.losses.mean_absolute_error(taught, output)
    if head.kind == "classes":
        return keras.losses.categorical_crossentropy(taught, output)
    years = ops.arange(output.shape[-1], dtype="float32")[None, :]
    return _divergence(taught, output) + ops.abs(ops.sum((output - taught) * years, -1)) / 4.0


def total_loss(
    heads: Sequence[Head],
    targets: Mapping[str, Any],
    outputs: Mapping[str, Any],
    weights: Any,
    taught: Mapping[str, Any] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Weighted sum over heads of each example's loss.

    Args:
        heads: the recipe's heads.
        targets: head name -> float32 (batch, 1).
        outputs: head name -> float32 (batch, width).
        weights: float32 (batch,), the weight of each example (0 for padding).
        taught: what teachers say, as `outputs`; a head that is not there, and an example where it
            is NaN, learns from labels alone.

    Returns:
        (float32 (batch,) weighted total, head name -> float32 (batch,) unweighted loss).
    """
    each: dict[str, Any] = {}
    for head in heads:
        output = outputs[head.name]
        loss = example_losses(head, targets[head.name], output)
        if taught and head.name in taught:
            said = taught[head.name]
            silent = ops.isnan(said)
            imitated = imitation_losses(head, ops.where(silent, ops.zeros_like(said), said), output)
            share = TEACHER_SHARE * ops.cast(ops.logical_not(ops.any(silent, axis=-1)), "float32")
            loss = (1.0 - share) * loss + share * imitated
        each[head.name] = loss
    total = sum(head.weight * each[head.name] for head in heads)
    return total * weights, each


def score_sums(
    heads: Sequence[Head], targets: Mapping[str, Any], outputs: Mapping[str, Any], weights: Any
) -> Any:
    """Sums that merge over batches and workers into each head's mean score.

    Args:
        heads: as in `total_loss`, like the others.
        targets: head name -> float32 (batch, 1), or (batch, 2) as in `example_losses`.
        outputs: head name -> float32 (batch, width).
        weights: float32 (batch,), 0 or positive; an example of weight 0 is not counted.

    Returns:
        float32 (len(heads), 3): for each head the sum of losses, the sum of scores (1 for a right
        class, absolute error in years for an age in years, 0 within a range) and the number of
        labelled examples.
    """
    rows: list[Any] = []
    counted = ops.cast(weights > 0, "float32")
    for head in heads:
        target, output = targets[head.name], ops.cast(outputs[head.name], "float32")
        known = ops.cast(ops.logical_not(ops.isnan(target)), "float32")[:, 0] * counted
        ends = ops.where(ops.isnan(target), ops.zeros_like(target), target)
        clean = ends[:, 0]
        if head.kind == "binary":
            score = ops.cast(ops.equal(output[:, 0] >= 0.5, clean >= 0.5), "float32")
        elif head.kind == "classes":
            score = ops.cast(
                ops.equal(ops.argmax(output, axis=-1), ops.cast(clean, "int32")), "float32"
            )
        else:
            years = ops.arange(output.shape[-1], dtype="float32")
            age = ops.sum(output * years, -1) if head.kind == "distribution" else output[:, 0]
            score = _distance(age, ends)
        loss = example_losses(head, target, output)
        rows.append(ops.stack([ops.sum(loss * known), ops.sum(score * known), ops.sum(known)]))
    return ops.stack(rows)


def scores_from_sums(heads: Sequence[Head], sums: Any, prefix: str) -> dict[str, float]:
    """Named means of `score_sums`, e.g. `val_gender_loss`, `val_gender_accuracy`, `val_age_mae`.

    `{prefix}_loss` is the weighted total that training minimises.
    """
    result: dict[str, float] = {f"{prefix}_loss": 0.0}
    for head, (loss, score, count) in zip(heads, sums, strict=True):
        count = max(float(count), 1.0)
        measure = "mae" if head.kind in ("value", "distribution") else "accuracy"
        result[f"{prefix}_{head.name}_loss"] = float(loss) / count
        result[f"{prefix}_{head.name}_{measure}"] = float(score) / count
        result[f"{prefix}_loss"] += head.weight * float(loss) / count
    return result
