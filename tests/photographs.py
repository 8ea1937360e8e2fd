"""Photographs for tests: a real portrait, turned, scaled and set into scenes of our own.

The portrait is NASA's of Eileen Collins, in the public domain, which scikit-image's wheel holds. It
is read without importing scikit-image, which would take seconds.
"""

import functools
import importlib.util
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# Where the portrait (512x512) has its face, measured once by eye: eyes, nose, corners of the mouth.
POINTS = ((202.0, 103.5), (245.0, 104.5), (222.0, 126.0), (203.5, 143.0), (240.5, 144.5))
HEAD = (112, 10, 332, 230)  # the box of it that scenes are made of
HEAD_PX = 220


@functools.cache
def portrait() -> Image.Image:
    """The portrait, RGB 512x512; its one face has 43 pixels between the eyes."""
    found = importlib.util.find_spec("skimage")
    assert found is not None
    assert found.origin is not None
    return Image.open(Path(found.origin).with_name("data") / "astronaut.png").convert("RGB")


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def faceless(width: int, height: int, seed: int = 0) -> Image.Image:
    """Soft coloured clouds, RGB."""
    clouds = np.random.default_rng(seed).integers(60, 200, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(clouds).resize((width, height), Image.Resampling.BICUBIC)


def turned(degrees: float, zoom: float = 1.0, side: int = 512) -> Image.Image:
    """A square in whose middle the portrait's nose is, leaning clockwise, on clouds."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    x, y = POINTS[2]
    back = (cos, sin, x - (cos + sin) * side / 2, -sin, cos, y - (cos - sin) * side / 2)
    picture = portrait().convert("RGBA")
    cut = picture.transform((side, side), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
    return Image.alpha_composite(faceless(side, side).convert("RGBA"), cut).convert("RGB")


def scene(
    width: int, height: int, heads: Iterable[tuple[int, int, int]], seed: int = 0
) -> Image.Image:
    """Clouds with heads.

    Args:
        width: in pixels.
        height: in pixels.
        heads: left, top and side of each; between the eyes are 0.195 of the side.
        seed: of the clouds.
    """
    canvas = faceless(width, height, seed)
    for left, top, side in heads:
        canvas.paste(portrait().crop(HEAD).resize((side, side), Image.Resampling.LANCZOS),
                     (left, top))  # fmt: skip
    return canvas
