"""Augmentation of how sharp an image is: enlarged from fewer pixels, blurred, sharpened, noisy.

The first three are linear along the rows and along the columns, so together they are one matrix a
side, an image's own: shapes stay static, and 64 images of 96x96 cost 7 ms, noise 4 more, of the
430 ms of a training step of facemill-muon (bfloat16, one core).
"""

from typing import Any

import keras
import numpy as np

from model.recipes import Augmentation

ops: Any = keras.ops  # carries no types: pyright takes most of its results for None
SHARPENED = 0.25  # share of the images that are sharpened where others are blurred
_LEAST_SIGMA_PX = 1e-3  # its weights beside the centre are 0, exactly
_NOISE_SIDE = 128
# The columns of the draws. Those before are model/augmentation.py's.
_KIND, _SIGMA, _AMOUNT, _SHRINK, _NOISE, _NOISE_Y, _NOISE_X = range(16, 23)


def change_sharpness(images: Any, draws: Any, strength: Augmentation) -> Any:
    """Apply `strength.shrink`, `.blur` and `.noise` to float32 (batch, height, width, channels)."""
    _, height, width, channels = images.shape
    if strength.shrink or strength.blur:
        rows = _mixing(draws, strength, height)
        columns = rows if height == width else _mixing(draws, strength, width)
        images = _along_both(images, rows, columns)
    if strength.noise:
        sigma = ops.reshape(draws[:, _NOISE] * (strength.noise * 255.0), (-1, 1, 1, 1))
        images = images + sigma * _noise(draws, height, width, channels)
    return images


def _along_both(images: Any, rows: Any, columns: Any) -> Any:
    """Rows of pixels mixed by `rows` (batch, height, height), columns by `columns`."""
    _, height, width, channels = images.shape
    flat = ops.matmul(rows, ops.reshape(images, (-1, height, width * channels)))
    turned = ops.transpose(ops.reshape(flat, (-1, height, width, channels)), (0, 2, 1, 3))
    flat = ops.matmul(columns, ops.reshape(turned, (-1, width, height * channels)))
    return ops.transpose(ops.reshape(flat, (-1, width, height, channels)), (0, 2, 1, 3))


def _mixing(draws: Any, strength: Augmentation, side: int) -> Any:
    """Weights (batch, side, side) of all that is done along one side: one product of matrices."""
    mixing: Any = None
    if strength.shrink:
        mixing = _enlarging(1.0 / (1.0 - strength.shrink * draws[:, _SHRINK]), side)
    if strength.blur:
        blurring = _blurring(ops.maximum(strength.blur * draws[:, _SIGMA], _LEAST_SIGMA_PX), side)
        # -1 is the blurred image; above 0 as much of what blurring takes is added (unsharp mask)
        amount = ops.where(draws[:, _KIND] < SHARPENED, draws[:, _AMOUNT], -1.0)[:, None, None]
        blurring = (1.0 + amount) * ops.eye(side) - amount * blurring
        mixing = blurring if mixing is None else ops.matmul(blurring, mixing)
    return mixing


def _blurring(sigma: Any, side: int) -> Any:
    """Gaussian weights (batch, side, side), each row of sum 1: edges do not darken."""
    place = np.arange(side, dtype=np.float32)
    squares = ops.convert_to_tensor((place[:, None] - place[None, :]) ** 2)
    return _normalised(ops.exp(-squares[None] / (2.0 * sigma[:, None, None] ** 2)))


def _enlarging(step: Any, side: int) -> Any:
    """Weights (batch, side, side) of shrinking to side / step pixels and enlarging again.

    Bilinear both ways, as Pillow does: a pixel of the small image is a triangle of width `step`
    to each side, one of the result lies between two of the small image. `step` 1 changes nothing.
    """
    place = ops.convert_to_tensor(np.arange(side, dtype=np.float32))
    wide = ops.reshape(step, (-1, 1, 1))
    centre = (
        place[None, :, None] + 0.5
    ) * wide - 0.5  # of small pixels; those behind side are none
    there = ops.cast(centre < side - 0.5, "float32")
    down = ops.maximum(0.0, 1.0 - ops.abs(place[None, None, :] - centre) / wide) * there
    between = (place[None, :, None] + 0.5) / wide - 0.5 - place[None, None, :]
    up = ops.maximum(0.0, 1.0 - ops.abs(between)) * ops.transpose(there, (0, 2, 1))
    return ops.matmul(_normalised(up), _normalised(down))


def _normalised(weights: Any) -> Any:
    return weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1e-6)


def _noise(draws: Any, height: int, width: int, channels: int) -> Any:
    """Gaussian noise of deviation 1: one sheet, of which each image is given another part."""
    sheet = np.random.default_rng(0).standard_normal((_NOISE_SIDE, _NOISE_SIDE, channels))
    sheet = ops.convert_to_tensor(np.reshape(sheet, (-1, channels)).astype(np.float32))

    def places(column: int, side: int) -> Any:
        first = ops.cast(ops.floor(draws[:, column] * _NOISE_SIDE), "int32")
        return (first[:, None] + ops.arange(side, dtype="int32")[None, :]) % _NOISE_SIDE

    y, x = places(_NOISE_Y, height), places(_NOISE_X, width)
    return ops.take(sheet, y[:, :, None] * _NOISE_SIDE + x[:, None, :], axis=0)
