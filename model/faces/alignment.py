"""Turns, scales and shifts a face so that its five points lie where the network expects them."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float64]


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
    centre, target = points.mean(axis=0), template.mean(axis=0)
    p, t = points - centre, template - target
    spread = (p**2).sum()
    a = (p * t).sum() / spread
    b = (p[:, 0] * t[:, 1] - p[:, 1] * t[:, 0]).sum() / spread
    turn = np.array([[a, -b], [b, a]])
    return np.concatenate([turn, (target - turn @ centre)[:, None]], axis=1)


def scale_of(matrix: Floats) -> float:
    """Pixels of the square for one of the image."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def template_of(alignment: Alignment, width: int, height: int) -> Floats:
    """The template in pixels of a network's input: (5, 2)."""
    return np.array(alignment.points).reshape(5, 2) * (width, height)


def aligned(
    image: Image.Image,
    matrix: Floats,
    size: tuple[int, int],
    outside: int,
    max_samples: int = 2,
) -> Image.Image:
    """Cut a face out.

    One interpolation, bilinear, of as many samples as the face has pixels; where that is more than
    the square holds, the samples of a pixel are averaged, whole pixels of the image before.

    Args:
        image: of mode RGB or L.
        matrix: (2, 3), from its pixels to the square's.
        size: (width, height) of the square.
        outside: grey level of what lies outside the image.
        max_samples: of a pixel, a side; with 1 it is a third of the work, and some lines alias.

    Returns:
        An image of that size, in the same mode.
    """
    scale = scale_of(matrix)
    back = _inverse(matrix)
    if scale < 0.5:
        image, back = _reduced(image, back, size, int(1 / scale))
    finer = max_samples if scale < 1 else 1
    back = back * np.array([1 / finer, 1 / finer, 1])
    colour: Any = outside if image.mode == "L" else (outside,) * 3
    width, height = size
    cut = image.transform(
        (width * finer, height * finer),
        Image.Transform.AFFINE,
        tuple(back.ravel()),
        Image.Resampling.BILINEAR,
        fillcolor=colour,
    )
    return cut if finer == 1 else cut.reduce(finer)


def _reduced(
    image: Image.Image, back: Floats, size: tuple[int, int], factor: int
) -> tuple[Image.Image, Floats]:
    """The part of the image that the square shows, each `factor` pixels averaged to one."""
    corners = _apply(back, [(0, 0), (size[0], 0), (0, size[1]), size])
    limit = np.array(image.size)
    start = np.clip(np.floor(corners.min(axis=0)) - 2 * factor, 0, limit - 1).astype(int)
    end = np.clip(np.ceil(corners.max(axis=0)) + 2 * factor, start + 1, limit).astype(int)
    part = image.reduce(factor, (*start.tolist(), *end.tolist()))
    moved = back.copy()
    moved[:, 2] -= start
    return part, moved / factor


def _inverse(matrix: Floats) -> Floats:
    turn = np.linalg.inv(matrix[:, :2]).astype(np.float64)
    return np.concatenate([turn, -turn @ matrix[:, 2:]], axis=1)


def _apply(matrix: Floats, points: Sequence[tuple[float, float]]) -> npt.NDArray[Any]:
    return np.array(points) @ matrix[:, :2].T + matrix[:, 2]
