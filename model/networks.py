"""Builders of the networks that model/recipes.py describes, in pure Keras 3.

Every network takes uint8 (batch, height, width, channels) and returns a dictionary
head name -> float32 (batch, head.width), activated. No Lambda layers: a bundle never runs code.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from model.heads import Head
from model.layers import FusedBatchNorm, LocalResponseNormalization, Norm, SharedDropout
from model.recipes import Dhomne, LeviHassner, Network, PlainStack, Residual


def build_network(
    network: Network,
    shape: tuple[int | None, int | None, int],
    heads: Sequence[Head],
    precision: str = "float32",
    norm: Norm = "batch",
    shared_dropout: bool = False,
) -> keras.Model:
    """Build an untrained network.

    Args:
        network: which architecture, with its hyperparameters.
        shape: (height, width, channels) of the uint8 input; None for a side of any length, which
            a `Residual` network can take.
        heads: the outputs.
        precision: float32, bfloat16 or float16 for the body; heads always compute in float32.
        norm: `fused` is `batch` in one kernel, for training, and `synchronized` takes batch
            statistics over all workers (both TensorFlow only); `folded` has convolutions with a
            bias in place of batch norm, for inference (see `folded`).
        shared_dropout: masks that no number of workers changes, for training (`SharedDropout`).

    Returns:
        A functional Keras model; its output is a dictionary keyed by head name.
    """
    policy = precision if precision == "float32" else f"mixed_{precision}"
    dropout = SharedDropout if shared_dropout else layers.Dropout
    pixels = keras.Input(shape, dtype="uint8", name="pixels")
    # Levi & Hassner's weights of 0.01 and normalisation are for pixels about zero, up to 255.
    scale, offset = (1.0, -127.5) if isinstance(network, LeviHassner) else (1 / 255, 0.0)
    scaled = layers.Rescaling(scale, offset, dtype=policy, name="scale")(pixels)
    match network:
        case PlainStack():
            outputs = _plain_stack(network, scaled, heads, policy, dropout)
        case Residual():
            outputs = _residual(network, scaled, heads, policy, norm, dropout)
        case LeviHassner():
            outputs = _levi_hassner(network, scaled, heads, policy, dropout)
        case Dhomne():
            outputs = _dhomne(network, scaled, heads, policy, dropout)
    return keras.Model(pixels, outputs, name=type(network).__name__)


def _levi_hassner(
    network: LeviHassner, x: Any, heads: Sequence[Head], policy: str, dropout: type[layers.Dropout]
) -> dict[str, Any]:
    x = layers.CenterCrop(network.crop, network.crop, dtype=policy, name="crop")(x)

    def gaussian() -> Any:
        return keras.initializers.RandomNormal(0.0, 0.01)

    stages = ((96, 7, 4, "valid"), (256, 5, 1, "same"), (384, 3, 1, "same"))
    for i, (filters, size, stride, padding) in enumerate(stages, start=1):
        x = layers.Conv2D(
            filters, size, stride, padding, activation="relu", dtype=policy, name=f"conv{i}",
            kernel_initializer=gaussian(),
        )(x)  # fmt: skip
        x = layers.MaxPooling2D(3, 2, dtype=policy, name=f"pool{i}")(x)
        if i < 3:
            x = LocalResponseNormalization(dtype=policy, name=f"norm{i}")(x)
    x = layers.Flatten(dtype=policy, name="flatten")(x)
    return _dense_heads(network, x, heads, policy, dropout, gaussian)


def _dhomne(
    network: Dhomne, x: Any, heads: Sequence[Head], policy: str, dropout: type[layers.Dropout]
) -> dict[str, Any]:
    x = layers.CenterCrop(network.crop, network.crop, dtype=policy, name="crop")(x)
    for stage, (filters, convolutions) in enumerate(network.filters, start=1):
        for i in range(1, convolutions + 1):
            name = f"conv{stage}_{i}"
            x = layers.Conv2D(
                filters, 3, padding="same", activation="relu", dtype=policy, name=name,
                kernel_initializer="he_normal",
            )(x)  # fmt: skip
        x = layers.MaxPooling2D(2, dtype=policy, name=f"pool{stage}")(x)
    x = layers.MaxPooling2D(network.last_pool, dtype=policy, name="last_pool")(x)
    x = layers.Flatten(dtype=policy, name="flatten")(x)
    return _dense_heads(network, x, heads, policy, dropout)


def _dense_heads(
    network: LeviHassner | Dhomne,
    x: Any,
    heads: Sequence[Head],
    policy: str,
    dropout: type[layers.Dropout],
    initializer: Callable[[], Any] = keras.initializers.GlorotUniform,
) -> dict[str, Any]:
    """Two dense layers with relu and dropout, shared by all heads."""
    for i in (1, 2):
        x = layers.Dense(
            network.units, activation="relu", dtype=policy, name=f"dense{i}",
            kernel_initializer=initializer(),
        )(x)  # fmt: skip
        x = dropout(network.dropout, dtype=policy, name=f"dropout{i}")(x)
    return {head.name: output_layer(head, initializer())(x) for head in heads}


def output_layer(head: Head, initializer: Any = "glorot_uniform") -> layers.Layer:
    """The last layer of a head, in float32 whatever the body computes in."""
    return layers.Dense(
        head.width, activation=head.activation, dtype="float32", name=head.name,
        kernel_initializer=initializer,
    )  # fmt: skip


def _plain_stack(
    network: PlainStack, x: Any, heads: Sequence[Head], policy: str, dropout: type[layers.Dropout]
) -> dict[str, Any]:
    for i, filters in enumerate(network.filters, start=1):
        x = layers.Conv2D(filters, 3, activation="relu", dtype=policy, name=f"conv{i}")(x)
        x = layers.MaxPooling2D(2, dtype=policy, name=f"pool{i}")(x)
    x = layers.Flatten(dtype=policy, name="flatten")(x)
    outputs: dict[str, Any] = {}
    for head in heads:
        branch = layers.Dense(
            network.branch_units, activation="relu", dtype=policy, name=f"{head.name}_hidden"
        )(x)
        branch = dropout(network.dropout, dtype=policy, name=f"{head.name}_dropout")(branch)
        outputs[head.name] = output_layer(head)(branch)
    return outputs


def _residual(
    network: Residual,
    x: Any,
    heads: Sequence[Head],
    policy: str,
    norm: Norm,
    dropout: type[layers.Dropout],
) -> dict[str, Any]:
    def conv_bn(x: Any, filters: int, size: int, stride: int, name: str, relu: bool = True) -> Any:
        x = layers.Conv2D(
            filters, size, stride, "same", use_bias=norm == "folded", dtype=policy,
            kernel_initializer="he_normal", name=f"{name}_conv",
        )(x)  # fmt: skip
        if norm != "folded":
            layer = FusedBatchNorm if norm == "fused" else layers.BatchNormalization
            x = layer(
                momentum=0.97, synchronized=norm == "synchronized", dtype=policy, name=f"{name}_bn"
            )(x)
        return layers.ReLU(dtype=policy, name=f"{name}_relu")(x) if relu else x

    x = conv_bn(x, network.stem_filters, 3, 2, "stem")
    for s, (filters, blocks) in enumerate(zip(network.filters, network.blocks, strict=True), 1):
        for b in range(1, blocks + 1):
            name, stride = f"stage{s}_block{b}", 2 if b == 1 else 1
            shortcut = x
            if b == 1:
                # Named like all layers: a default name counts up, and the bundle id hashes names.
                shortcut = layers.AveragePooling2D(
                    2, padding="same", dtype=policy, name=f"{name}_shortcut_pool"
                )(x)
                shortcut = conv_bn(shortcut, filters, 1, 1, f"{name}_shortcut", relu=False)
            y = conv_bn(x, filters, 3, stride, f"{name}_a")
            y = conv_bn(y, filters, 3, 1, f"{name}_b", relu=False)
            x = layers.Add(dtype=policy, name=f"{name}_add")([shortcut, y])
            x = layers.ReLU(dtype=policy, name=f"{name}_out")(x)
    x = layers.GlobalAveragePooling2D(dtype="float32", name="average")(x)
    outputs: dict[str, Any] = {}
    for head in heads:
        branch = dropout(network.dropout, name=f"{head.name}_dropout", dtype="float32")(x)
        if head.units:
            branch = layers.Dense(head.units, activation="relu", name=f"{head.name}_hidden")(branch)
        outputs[head.name] = output_layer(head)(branch)
    return outputs


def folded(trained: keras.Model, network: Network, heads: Sequence[Head]) -> keras.Model:
    """The same function without batch norm: its scale and shift folded into the convolutions.

    Heads that are not asked for are left out.

    At inference y = gamma (W x - mean) / sqrt(var + eps) + beta is one convolution with the kernel
    W gamma / sqrt(var + eps) and the bias beta - mean gamma / sqrt(var + eps) (Jacob 2018, 3.2).

    Args:
        trained: built by `build_network` from `network` and `heads`, in float32.
        network: its architecture.
        heads: its outputs.

    Returns:
        A float32 network with equal outputs up to rounding; `trained` itself if it has no batch
        norm.
    """
    norms = {layer.name for layer in trained.layers if type(layer) is layers.BatchNormalization}
    if not norms and {head.name for head in heads} == set(trained.output_names):
        return trained
    plain = build_network(network, trained.input_shape[1:], heads, norm="folded")
    for layer in plain.layers:
        source: Any = trained.get_layer(layer.name)
        norm_name = f"{_stem(layer)}_bn"
        if norm_name in norms:
            norm: Any = trained.get_layer(norm_name)
            gamma, beta, mean, variance = (np.asarray(v) for v in norm.get_weights())
            scale = gamma / np.sqrt(variance + norm.epsilon)
            layer.set_weights([np.asarray(source.kernel) * scale, beta - mean * scale])
        else:
            layer.set_weights(source.get_weights())
    return plain


def unfolded(plain: keras.Model, trainable: keras.Model, pixels: npt.NDArray[np.uint8]) -> None:
    """Give a network with batch norm the function of one without: the way back from `folded`.

    Batch norm gets the mean and variance that each convolution has on `pixels`, and the scale and
    shift that undo them, so that in training too it begins where `plain` ended.

    Args:
        plain: of a bundle, without batch norm or with none to begin with.
        trainable: built for the same architecture; heads that `plain` lacks keep their weights.
        pixels: uint8 (n, height, width, channels), some hundreds of what it will be trained on.
    """
    names = {layer.name for layer in trainable.layers}
    convolutions = [layer for layer in plain.layers if f"{_stem(layer)}_bn" in names]
    outputs: Any = []
    if convolutions:
        probe: Any = keras.Model(plain.inputs[0], [layer.output for layer in convolutions])
        outputs = probe.predict(pixels, batch_size=64, verbose=0)
    statistics = {
        layer.name: (np.mean(out, axis=(0, 1, 2)), np.var(out, axis=(0, 1, 2)))
        for layer, out in zip(convolutions, outputs, strict=True)
    }
    for layer in plain.layers:
        target: Any = trainable.get_layer(layer.name)
        if layer.name not in statistics:
            target.set_weights(layer.get_weights())
            continue
        kernel, bias = layer.get_weights()
        mean, variance = statistics[layer.name]
        norm: Any = trainable.get_layer(f"{_stem(layer)}_bn")
        target.set_weights([kernel])
        norm.set_weights([np.sqrt(variance + norm.epsilon), mean, mean - bias, variance])


def _stem(layer: layers.Layer) -> str:
    return layer.name.removesuffix("_conv")


def with_precision(network: keras.Model, precision: str, heads: Sequence[str]) -> keras.Model:
    """A copy of a network, weights and all, that computes in another precision.

    Args:
        network: any network of this module, or one loaded from a bundle.
        precision: float32, bfloat16 or float16.
        heads: names of the output layers, which stay in float32.
    """
    policy = precision if precision == "float32" else f"mixed_{precision}"

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name not in heads and not isinstance(layer, layers.InputLayer):
            config["dtype"] = policy
        return layer.__class__.from_config(config)

    copy: Any = keras.models.clone_model(network, clone_function=clone)
    copy.set_weights(network.get_weights())
    return copy


def count_flops(network: keras.Model) -> int:
    """Floating-point operations of one image: 2 per multiply-add of every convolution and dense."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            untyped: Any = layer
            positions = math.prod(untyped.output.shape[1:-1])
            total += 2 * math.prod(untyped.kernel.shape) * positions
    return total


def describe(network: Network, shape: tuple[int, int, int], heads: Sequence[Head]) -> str:
    """`3,667,202 weights, 0.389 GFLOP per image, input 128x128x1`."""
    built = build_network(network, shape, heads)
    size = "x".join(map(str, shape))
    flops = count_flops(built) / 1e9
    return f"{built.count_params():,} weights, {flops:.3f} GFLOP per image, input {size}"
