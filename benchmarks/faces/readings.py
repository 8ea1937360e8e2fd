"""What the network reads off crops, against labels and against another reading of the same."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from model import metrics
from model.bundle import Bundle
from model.calibration import Reading
from model.metrics import Estimate
from model.pictures import decode_picture
from model.predictor import Predictor
from pipelines import storage
from pipelines.manifests import manifest

Floats = npt.NDArray[np.float32]


class Network:
    """The network of a bundle on one thread."""

    def __init__(self, bundle: Bundle) -> None:
        """Load it."""
        self.bundle = bundle
        self.predictor = Predictor(bundle, threads=1)

    def read(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Floats]:
        """Columns of `Predictor.answers`, float32 (n,); none of no pixels."""
        if not len(pixels):
            return {"age_years": np.empty(0, np.float32), "p_female": np.empty(0, np.float32)}
        return self.predictor.answers(pixels, Reading())


@dataclasses.dataclass(frozen=True)
class Chips:
    """Labelled chips of a split, in an order drawn once.

    Attributes:
        files: the whole files.
        age: labelled, float32 (n,).
        female: labelled, 1 or 0, float32 (n,).
    """

    files: list[bytes]
    age: Floats
    female: Floats

    @classmethod
    def of(cls, source: str, split: str, most: int | None) -> "Chips":
        """At most `most` labelled chips of a manifest's split."""
        rows = manifest.labelled(manifest.read_manifest(source), split)
        order = np.random.default_rng(0).permutation(rows.num_rows)[:most]
        rows = rows.take(order)
        files = [storage.read_bytes(uri) for uri in rows["uri"].to_pylist()]
        return cls(files, manifest.codes(rows, "age_years"), manifest.codes(rows, "gender"))

    def image(self, number: int) -> Image.Image:
        """One of them as a picture, RGB."""
        return decode_picture(self.files[number], "rgb", 2, lambda w, h: (w, h)).image


def paired(one: Any, other: Any) -> Estimate:
    """Mean of one minus other, with its bootstrap interval over the same images."""
    gaps = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return metrics.estimate_mean(gaps, metrics.bootstrap_weights(len(gaps), 0))


def errors(columns: dict[str, Floats], age: Floats, female: Floats) -> tuple[Floats, Floats]:
    """Absolute error of the age, and whether the gender is right (0 or 1), an image."""
    right = ((columns["p_female"] >= 0.5) == (female > 0.5)).astype(np.float32)
    return np.abs(columns["age_years"] - age), right


def signed(estimate: Estimate, digits: int = 2, scale: float = 1.0) -> str:
    """`+0.03 (-0.01 to +0.08)`."""
    value, low, high = (x * scale for x in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"
