"""Turns, scales and shifts a face so that its five points lie where the network expects them."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

cv2.setNumThreads(1)  # workers are one a core, and OpenCV would take them all

_NEARLY_ONE = 0.75  # of a scale: one sample a pixel is enough there

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Where the points of a face lie in the network's square.

    Attributes:
        points: x and y of the five `face.POINTS` in shares of the square's side.
        outside: grey level, 0-255, of what lies outside the image.
        version: of the code that makes the pixels.
    """

    points: tuple[float, ...]
    outside: int = 128
    version: int = 1

    @property
    def hash(self) -> str:
        """8 hex digits over all that can change a pixel."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Alignment":
        """The alignment of which `dataclasses.asdict` was written."""
        return cls(tuple(data["points"]), data["outside"], data["version"])


# Medians of what YuNet finds in the chips of UTKFace's train split, averaged with their mirror
# image (`benchmarks.faces`, template): an aligned chip stays nearly as it is.
UTKFACE_CHIPS = Alignment((0.3002, 0.2839, 0.6998, 0.2839, 0.5, 0.4979, 0.33, 0.6759, 0.67, 0.6759))


def similarity(points: Floats, template: Floats) -> Floats:
    """The turn, scale and shift that bring points closest to a template, by least squares.

    Source: Umeyama: "Least-squares estimation of transformation parameters between two point
    patterns", IEEE PAMI 1991; in the plane it is a linear problem, with no mirroring.

    Args:
        points: (n, 2), n >= 2, not all the same.
        template: (n, 2).

    Returns:
        (2, 3): a point p comes to `m[:, :2] @ p + m[:, 2]`.
    """
    # Python's own numbers: arrays of five points are all overhead.
    given: list[list[float]] = points.tolist()
    wanted: list[list[float]] = template.tolist()
    n = len(given)
    mean_x, mean_y = (math.fsum(column) / n for column in zip(*given, strict=True))
    goal_x, goal_y = (math.fsum(column) / n for column in zip(*wanted, strict=True))
    spread = along = across = 0.0
    for (x, y), (u, v) in zip(given, wanted, strict=True):
        x, y, u, v = x - mean_x, y - mean_y, u - goal_x, v - goal_y
        spread += x * x + y * y
        along += x * u + y * v
        across += x * v - y * u
    a, b = along / spread, across / spread
    return np.array([
        [a, -b, goal_x - a * mean_x + b * mean_y],
        [b, a, goal_y - b * mean_x - a * mean_y],
    ])  # fmt: skip


def scale_of(matrix: Floats) -> float:
    """Pixels of the square for one of the image."""
    return math.hypot(matrix[0, 0], matrix[1, 0])


def template_of(alignment: Alignment, width: int, height: int) -> Floats:
    """The template in pixels of a network's input: (5, 2)."""
    return np.array(alignment.points).reshape(5, 2) * (width, height)


def aligned(
    pixels: Pixels,
    matrix: Floats,
    size: tuple[int, int],
    outside: int,
    max_samples: int = 2,
) -> Pixels:
    """Cut a face out.

    One interpolation, bilinear, of as many samples as the face has pixels; where that is more than
    the square holds, the samples of a pixel are averaged, whole pixels of the image before.

    Args:
        pixels: of the image, uint8 (height, width, 3) or (height, width).
        matrix: (2, 3), from its pixels to the square's.
        size: (width, height) of the square.
        outside: grey level of what lies outside the image.
        max_samples: of a pixel, a side; with 1 it is a third of the work, and some lines alias.

    Returns:
        uint8 (size[1], size[0], 3), or without the last axis.
    """
    scale = scale_of(matrix)
    if scale < 0.5:
        pixels, matrix = _reduced(pixels, matrix, size, int(1 / scale))
    finer = max_samples if scale_of(matrix) < _NEARLY_ONE else 1
    moved = matrix * finer
    # OpenCV counts from the middle of the first pixel, and we from its corner.
    moved[:, 2] += 0.5 * moved[:, :2].sum(axis=1) - 0.5
    cut: Any = cv2.warpAffine(
        pixels,
        moved,
        (size[0] * finer, size[1] * finer),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(outside,) * 3,
    )
    return cut if finer == 1 else resized(cut, size)


def _reduced(
    pixels: Pixels, matrix: Floats, size: tuple[int, int], factor: int
) -> tuple[Pixels, Floats]:
    """The part of the image that the square shows, each `factor` pixels averaged to one."""
    corners = _apply(inverse(matrix), [(0, 0), (size[0], 0), (0, size[1]), size])
    limit = np.array([pixels.shape[1], pixels.shape[0]])
    start = np.clip(np.floor(corners.min(axis=0)) - 2 * factor, 0, limit - 1).astype(int)
    end = np.clip(np.ceil(corners.max(axis=0)) + 2 * factor, start + 1, limit).astype(int)
    part = shrunk(pixels[start[1] : end[1], start[0] : end[0]], factor)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ start
    moved[:, :2] *= factor
    return part, moved


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """An image in another size (width, height): averages of whole pixels if they are, else linear.

    uint8 (height, width, 3) or (height, width), as it comes.
    """
    height, width = pixels.shape[:2]
    is_whole = size[0] <= width and not (width % size[0] or height % size[1])
    filtered: Any = cv2.resize(
        pixels, size, interpolation=cv2.INTER_AREA if is_whole else cv2.INTER_LINEAR
    )
    return filtered


def shrunk(pixels: Pixels, factor: int) -> Pixels:
    """Each `factor` pixels averaged to one; the last ones stand for those that lack there."""
    height, width = pixels.shape[:2]
    down, right = -height % factor, -width % factor
    padded: Any = pixels
    if down or right:
        padded = cv2.copyMakeBorder(pixels, 0, down, 0, right, cv2.BORDER_REPLICATE)
    return resized(padded, ((width + right) // factor, (height + down) // factor))


def inverse(matrix: Floats) -> Floats:
    """The way back of a (2, 3) matrix that turns, scales and shifts, (2, 3)."""
    (a, _, x), (b, _, y) = matrix.tolist()
    spread = a * a + b * b
    a, b = a / spread, b / spread
    return np.array([[a, b, -a * x - b * y], [-b, a, b * x - a * y]])


def _apply(matrix: Floats, points: Sequence[tuple[float, float]]) -> npt.NDArray[Any]:
    return np.array(points) @ matrix[:, :2].T + matrix[:, 2]
