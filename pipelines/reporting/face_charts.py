"""The charts of faces in images, which need no labels; None of face crops."""

from collections.abc import Mapping
from typing import Any

from pipelines.charts.chart import Chart
from pipelines.reporting.charts import grouped
from pipelines.reporting.face_bins import EYE_DISTANCE, ROLL, Bins

Figures = Mapping[str, Any]
_SMALL_PX, _TURNED_DEGREES = 32, 20  # below and from which a face is told to be so


def faces_a_picture(figures: Figures) -> Chart | None:
    """Images by how many faces they show, those without one too."""
    if not figures["faces"]:
        return None
    rows = figures["faces"]["a_picture"]
    names = ["0", *(row["bin"] for row in rows)]
    counts = [figures["counts"]["without_a_face"], *(row["pictures"] for row in rows)]
    several = sum(counts[2:]) / max(1, sum(counts))
    words = f"Images by the number of detected faces; {several:.0%} show several."
    title = "faces in the image"
    return grouped("Faces per image", words, (title, names), ("pictures", counts), title)


def sizes(figures: Figures) -> Chart | None:
    """Faces by how far apart their eyes are."""
    counts = _counts(figures, EYE_DISTANCE)
    if not sum(counts):
        return None
    small = sum(counts[: EYE_DISTANCE.starts.index(_SMALL_PX)]) / sum(counts)
    words = f"Faces by the distance of their eyes; {small:.0%} have less than {_SMALL_PX} pixels."
    return _binned("Size of faces", words, EYE_DISTANCE, counts)


def rolls(figures: Figures) -> Chart | None:
    """Faces by how far they lean to either side."""
    counts = _counts(figures, ROLL)
    if not sum(counts):
        return None
    turned = sum(counts[ROLL.starts.index(_TURNED_DEGREES) :]) / sum(counts)
    words = f"Faces by roll to the left or right; {turned:.0%} by {_TURNED_DEGREES}° "
    return _binned("Roll of faces", f"{words}or more.", ROLL, counts)


def _counts(figures: Figures, bins: Bins) -> list[int]:
    faces = figures["faces"]
    return [row["faces"] for row in faces[bins.column]] if faces else []


def _binned(title: str, words: str, bins: Bins, counts: list[int]) -> Chart:
    groups, counted = (bins.title, bins.names), ("faces", counts)
    return grouped(title, words, groups, counted, bins.title, bins.starts)
