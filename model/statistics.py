"""Statistics of the pixels, histograms of columns, and how far two histograms drifted apart."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

# Histogram edges of every profiled column: fixed, so that any two profiles can be compared.
# Values beyond the last edge count in the last bin.
EDGES: dict[str, npt.NDArray[np.float64]] = {
    "brightness": np.linspace(0, 256, 65),
    "contrast": np.linspace(0, 128, 65),
    "sharpness": np.linspace(0, 64, 65),
    "width": 2.0 ** np.arange(3, 15.01, 0.25),
    "height": 2.0 ** np.arange(3, 15.01, 0.25),
    "aspect": 2.0 ** np.arange(-3, 3.01, 0.125),
    "age_years": np.arange(0.0, 118.0),
    "p_female": np.linspace(0, 1, 51),
    "interval_years": np.arange(0.0, 118.0),
}
INPUTS = ("brightness", "contrast", "sharpness", "width", "height", "aspect")
OUTPUTS = ("age_years", "p_female", "interval_years")
PSI_LIMITS, KS_LIMITS = (0.10, 0.25), (0.10, 0.20)
_PSI_BINS = 10
MIN_IMAGES = 100  # PSI over ten bins of fewer images is mostly noise


def image_statistics(pixels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
    """How bright, how contrasty and how sharp each image is, in grey levels 0-255.

    Args:
        pixels: uint8 (n, height, width, 1 or 3), as the network takes them; of RGB the green
            channel stands for luma (59 % of it).

    Returns:
        float32 (n,) each: brightness = mean, contrast = standard deviation, sharpness = mean
        absolute difference of horizontal neighbours.
    """
    count, rows, columns = pixels.shape[:3]
    result = {name: np.empty(count, dtype=np.float32) for name in INPUTS[:3]}
    grey = pixels[..., 1 if pixels.shape[3] == 3 else 0]
    for index in range(count):  # one image fits the core's cache; a whole batch does not
        values = grey[index].astype(np.float32)
        steps = values[:, 1:] - values[:, :-1]
        result["sharpness"][index] = np.abs(steps, out=steps).sum() / (rows * (columns - 1))
        flat = values.ravel()
        mean = flat.sum() / flat.size
        flat -= mean
        result["brightness"][index] = mean
        result["contrast"][index] = np.sqrt(np.dot(flat, flat) / flat.size)
    return result


def histogram(name: str, values: Floats) -> list[int]:
    """Counts over `EDGES[name]`; NaN is left out, what is beyond an end counts in the end bin."""
    edges = EDGES[name]
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    index = np.clip(np.searchsorted(edges, known, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(index, minlength=len(edges) - 1).tolist()


def profile(columns: Mapping[str, Floats]) -> dict[str, list[int]]:
    """Histograms of those columns that `EDGES` knows; aspect and interval_years are derived."""
    known = dict(columns)
    if "width" in known and "height" in known:
        known["aspect"] = np.asarray(known["width"], np.float64) / known["height"]
    if "age_high_years" in known and "age_low_years" in known:
        known["interval_years"] = known["age_high_years"] - known["age_low_years"]
    return {name: histogram(name, known[name]) for name in EDGES if name in known}


@dataclasses.dataclass(frozen=True)
class Drift:
    """How far a column is from its reference: PSI, KS distance and a traffic light."""

    name: str
    psi: float
    ks: float
    light: str  # green, amber, red, or grey where there are too few images


def drift(name: str, reference: npt.ArrayLike, current: npt.ArrayLike) -> Drift:
    """Compare two histograms over the same edges.

    PSI (sum of (q - p) ln(q / p), Siddiqi 2006) over ten bins of about equal reference mass, empty
    bins counted as half an image; KS is the largest gap of the two cumulative histograms.
    """
    p, q = np.asarray(reference, np.float64), np.asarray(current, np.float64)
    n, m = p.sum(), q.sum()
    if min(n, m) < MIN_IMAGES:
        return Drift(name, float("nan"), float("nan"), "grey")
    ks = float(np.abs(np.cumsum(p) / n - np.cumsum(q) / m).max())
    # A bin belongs to the tenth of the reference in which its middle lies.
    tenth = ((np.cumsum(p) - p / 2) / n * _PSI_BINS).astype(int)
    group = np.unique(tenth, return_inverse=True)[1]
    shares: list[Floats] = []
    for counts, total in ((p, n), (q, m)):
        merged = np.bincount(group, counts)
        shares.append(np.maximum(merged, 0.5) / total)
    psi = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    over = [int(psi > PSI_LIMITS[i]) + int(ks > KS_LIMITS[i]) for i in (0, 1)]
    light = "red" if over[1] else "amber" if over[0] else "green"
    return Drift(name, psi, ks, light)


def drift_rule() -> str:
    """The rule of the lights, for people."""
    return (
        f"green: PSI at most {PSI_LIMITS[0]:g} and KS at most {KS_LIMITS[0]:g}; "
        f"red: PSI over {PSI_LIMITS[1]:g} or KS over {KS_LIMITS[1]:g}; amber between; "
        f"grey: fewer than {MIN_IMAGES} images on a side"
    )
