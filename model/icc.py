"""Colour spaces of three primaries as the bytes of an ICC profile: a matrix and a curve.

Source: ICC.1:2001-04 (version 2.4.0), 6.1 (header), 6.3.1.2 (three-component matrix-based input
profiles), 6.3.1.1 (monochrome), 6.5.3 (curveType), annex E (Bradford adaptation).
"""

import dataclasses
import functools
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_D50 = np.array([0.9642, 1.0, 0.8249])  # of the profile connection space
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_CURVE_ENTRIES = 1024  # as HP's and Microsoft's sRGB profile of 1998
D65 = (0.3127, 0.3290)


@dataclasses.dataclass(frozen=True)
class ColourSpace:
    """What three numbers of a pixel mean.

    Attributes:
        red: chromaticity (x, y) of full red; green and blue likewise.
        green: see `red`.
        blue: see `red`.
        white: chromaticity (x, y) of the lightest pixel.
        gamma: exponent from samples to light; None for sRGB's curve.
    """

    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]
    white: tuple[float, float] = D65
    gamma: float | None = None


SRGB = ColourSpace((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
DISPLAY_P3 = ColourSpace((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
BT_2020 = ColourSpace((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
# 563/256, which is what 8 bits behind the point make of its 2.2
ADOBE_RGB = ColourSpace((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), gamma=563 / 256)


def to_xyz(space: ColourSpace) -> npt.NDArray[np.float64]:
    """The matrix from linear RGB in [0, 1] to XYZ under D50 (3, 3).

    Raises:
        ValueError: the primaries span no space.
    """
    primaries = np.stack([_xyz(space.red), _xyz(space.green), _xyz(space.blue)], axis=1)
    white = _xyz(space.white)
    try:
        matrix: Any = primaries * np.linalg.solve(primaries, white)
    except np.linalg.LinAlgError:
        raise ValueError(f"the primaries of {space} lie on a line") from None
    cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    return np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ matrix


def to_light(samples: npt.NDArray[np.float64], gamma: float | None) -> npt.NDArray[np.float64]:
    """Samples in [0, 1] to light in [0, 1]; `gamma` None is sRGB's curve (IEC 61966-2-1)."""
    if gamma is not None:
        return samples**gamma
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


@functools.lru_cache(maxsize=16)
def profile_of(space: ColourSpace) -> bytes:
    """The bytes of a profile.

    Raises:
        ValueError: as `to_xyz`, or a number is too large for the format.
    """
    columns = to_xyz(space).T
    try:
        tags = {
            b"wtpt": _xyz_tag(_D50),
            b"rXYZ": _xyz_tag(columns[0]),
            b"gXYZ": _xyz_tag(columns[1]),
            b"bXYZ": _xyz_tag(columns[2]),
            b"rTRC": _curve(space.gamma),
        }
    except struct.error as error:
        raise ValueError(f"{space} does not fit a profile: {error}") from None
    return _file(b"RGB ", tags)


@functools.lru_cache(maxsize=16)
def grey_profile_of(gamma: float) -> bytes:
    """The bytes of a profile of grey samples (6.3.1.1) whose exponent is `gamma`."""
    return _file(b"GRAY", {b"wtpt": _xyz_tag(_D50), b"kTRC": _curve(gamma)})


def _file(kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    # the three curves are one and the same piece of the file (6.2)
    names = {b"rTRC": (b"rTRC", b"gTRC", b"bTRC")}
    count, body = sum(len(names.get(name, (name,))) for name in tags), b""
    at, table = 128 + 4 + 12 * count, struct.pack(">I", count)
    for name, tag in tags.items():
        for same in names.get(name, (name,)):
            table += same + struct.pack(">II", at + len(body), len(tag))
        body += tag
    head = struct.pack(
        ">I4xI4s4s4s12x4s28x12s48x", at + len(body), 0x02400000, b"mntr", kind, b"XYZ ",
        b"acsp", _fixed(_D50),
    )  # fmt: skip
    return head + table + body


def _xyz(chromaticity: Sequence[float]) -> npt.NDArray[np.float64]:
    x, y = chromaticity
    if y <= 0:
        raise ValueError(f"a chromaticity of y {y} is no colour")
    return np.array([x / y, 1.0, (1.0 - x - y) / y])


def _fixed(values: npt.NDArray[np.float64]) -> bytes:
    """s15Fixed16Number (5.3.8)."""
    return struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _xyz_tag(values: npt.NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _curve(gamma: float | None) -> bytes:
    if gamma is not None:
        return struct.pack(">4s4xIH2x", b"curv", 1, round(gamma * 256))
    light = to_light(np.linspace(0.0, 1.0, _CURVE_ENTRIES), None)
    entries = np.round(light * 65535).astype(">u2").tobytes()
    return struct.pack(">4s4xI", b"curv", _CURVE_ENTRIES) + entries
