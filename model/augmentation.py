"""Augmentation inside the graph, as a function of (seed, epoch, image) alone.

The random numbers are drawn on the host, one row an image (`draw`); the graph only applies them
(`augment`). So shuffling, the number of workers and the backend cannot change what an image gets,
but for some pixels in a million that are rounded to the next level in a batch of another size.
"""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from model.recipes import Augmentation
from model.sharpness import change_sharpness

ops: Any = keras.ops  # carries no types: pyright takes most of its results for None
_FIRST_DRAWS, _LATER_DRAWS = 16, 8
DRAWS_PER_IMAGE = _FIRST_DRAWS + _LATER_DRAWS


def draw(seed: int, epoch: int, images: int) -> npt.NDArray[np.float32]:
    """Uniform [0, 1) random numbers of one epoch: float32 (images, DRAWS_PER_IMAGE)."""
    first = np.random.default_rng([seed, epoch]).random((images, _FIRST_DRAWS), dtype=np.float32)
    # Numbers that came later have a generator of their own, or the first ones would change. 2: 1
    # is the order's (pipelines/training/feeding.py).
    later = np.random.default_rng([seed, epoch, 2]).random((images, _LATER_DRAWS), dtype=np.float32)
    return np.concatenate([first, later], axis=1)


def augment(pixels: Any, draws: Any, strength: Augmentation) -> Any:
    """Apply `strength` to a batch.

    Args:
        pixels: uint8 (batch, height, width, channels), range 0-255.
        draws: float32 (batch, DRAWS_PER_IMAGE) in [0, 1).
        strength: what to apply.

    Returns:
        uint8 of the same shape.
    """
    return augment_for_teachers(pixels, draws, strength)[0]


def augment_for_teachers(pixels: Any, draws: Any, strength: Augmentation) -> tuple[Any, Any]:
    """`augment`, and the same images as sharp as they were, for those that teach.

    What a teacher sees in a sharp image is what a network shall see in the blurred one: so its
    answers come to depend less on sharpness than the teacher's own do.
    """
    if not strength.active:
        return pixels, pixels
    _, height, width, channels = pixels.shape
    images = ops.cast(pixels, "float32")
    images = _warp(images, draws, strength, height, width)
    images = _recolor(images, draws, strength, channels)
    as_sharp = _finished(images, draws, strength)
    if not (strength.blur or strength.shrink or strength.noise):
        return as_sharp, as_sharp
    return _finished(change_sharpness(images, draws, strength), draws, strength), as_sharp


def _finished(images: Any, draws: Any, strength: Augmentation) -> Any:
    """Part of an image erased, and uint8 again."""
    _, height, width, _ = images.shape
    if strength.erase:
        images = _erase(images, draws, strength.erase, height, width)
    return ops.cast(ops.clip(ops.round(images), 0.0, 255.0), "uint8")


def resized(pixels: Any, height: int, width: int) -> Any:
    """Resize uint8 (batch, h, w, channels) to uint8 (batch, height, width, channels), bilinear."""
    if tuple(pixels.shape[1:3]) == (height, width):
        return pixels
    images = ops.cast(pixels, "float32")
    images = ops.image.resize(images, (height, width), antialias=True, data_format="channels_last")
    return ops.cast(ops.clip(ops.round(images), 0.0, 255.0), "uint8")


def _span(draws: Any, column: int, strength: float) -> Any:
    """Column `column` of the draws, mapped to +- strength: float32 (batch,)."""
    return (draws[:, column] * 2.0 - 1.0) * strength


def _warp(images: Any, draws: Any, strength: Augmentation, height: int, width: int) -> Any:
    """Mirror, rotate, scale, stretch and shift about the centre, bilinear, edges repeated."""
    angle = _span(draws, 1, strength.rotate_degrees * np.pi / 180.0)
    zoom = 1.0 + _span(draws, 2, strength.scale)
    stretch = 1.0 + _span(draws, 5, strength.stretch)
    flip = ops.where(draws[:, 0] < 0.5, -1.0, 1.0) if strength.mirror else ops.ones_like(angle)
    a0, a1 = flip * zoom * stretch * ops.cos(angle), -zoom * ops.sin(angle)
    b0, b1 = flip * zoom * stretch * ops.sin(angle), zoom * ops.cos(angle)
    cx, cy = (width - 1) / 2.0, (height - 1) / 2.0
    # Output (x, y) is taken from input (a0 x + a1 y + a2, b0 x + b1 y + b2): the centre stays.
    a2 = cx - a0 * cx - a1 * cy + _span(draws, 3, strength.shift * width)
    b2 = cy - b0 * cx - b1 * cy + _span(draws, 4, strength.shift * height)
    zero = ops.zeros_like(a0)
    matrix = ops.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
    return ops.image.affine_transform(
        images, matrix, interpolation="bilinear", fill_mode="nearest", data_format="channels_last"
    )


def _recolor(images: Any, draws: Any, strength: Augmentation, channels: int) -> Any:
    """Contrast about the image's mean, brightness, and for RGB saturation and full grey."""

    def column(values: Any) -> Any:
        return ops.reshape(values, (-1, 1, 1, 1))

    if channels == 3 and (strength.color or strength.grey):
        luma = ops.sum(images * ops.convert_to_tensor([0.299, 0.587, 0.114]), -1, keepdims=True)
        keep = 1.0 + _span(draws, 6, strength.color)
        keep = ops.where(draws[:, 7] < strength.grey, 0.0, keep)
        images = luma + (images - luma) * column(keep)
    if strength.contrast:
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        images = mean + (images - mean) * column(1.0 + _span(draws, 8, strength.contrast))
    if strength.brightness:
        images = images + column(_span(draws, 9, strength.brightness * 255.0))
    return images


def _erase(images: Any, draws: Any, probability: float, height: int, width: int) -> Any:
    """Set one rectangle to mid-grey in a share `probability` of the images."""
    area = 0.02 + 0.18 * draws[:, 11]
    aspect = ops.exp(_span(draws, 12, float(np.log(2.0))))
    half_h, half_w = ops.sqrt(area * aspect) / 2.0, ops.sqrt(area / aspect) / 2.0
    y = (ops.arange(height, dtype="float32") + 0.5)[None, :] / height
    x = (ops.arange(width, dtype="float32") + 0.5)[None, :] / width
    rows = ops.abs(y - draws[:, 13:14]) < half_h[:, None]
    columns = ops.abs(x - draws[:, 14:15]) < half_w[:, None]
    chosen = (draws[:, 10] < probability)[:, None, None]
    mask = ops.logical_and(ops.logical_and(rows[:, :, None], columns[:, None, :]), chosen)
    return ops.where(mask[..., None], 127.5, images)
