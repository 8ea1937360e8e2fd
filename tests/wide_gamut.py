"""Colours in the numbers of other spaces, computed here and not by littlecms."""

from typing import Any

import numpy as np

from model.colours import SRGB, ColourSpace, to_xyz

# 563/256, which is what 8 bits behind the point make of its 2.2
ADOBE_RGB = ColourSpace(green=(0.21, 0.71), gamma=563 / 256)
_STEPS = np.linspace(0, 1, 4096)


def to_light(samples: Any) -> Any:
    """Samples of sRGB in [0, 1] to light in [0, 1] (IEC 61966-2-1)."""
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


def from_light(light: Any) -> Any:
    """Light in [0, 1] to samples of sRGB in [0, 1]."""
    return np.interp(light, to_light(_STEPS), _STEPS)


def in_space(colours: Any, space: ColourSpace, source: ColourSpace = SRGB) -> Any:
    """The numbers that colours have in `space`, 0 to 255; those given are of `source`."""
    samples = np.asarray(colours) / 255.0
    light = to_light(samples) if source.gamma is None else samples**source.gamma
    light = light @ to_xyz(source).T @ np.linalg.inv(to_xyz(space)).T
    curved = from_light(light) if space.gamma is None else light.clip(0, 1) ** (1 / space.gamma)
    return 255 * curved
