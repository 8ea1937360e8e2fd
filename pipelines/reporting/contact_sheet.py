"""A few faces beside the figures: the surest, the least sure, the worst errors. Only if asked for.

Faces are personal data: this is used only where `show_faces` is set.
"""

import base64
import dataclasses
import io
import os
from typing import Any

from PIL import Image, ImageOps

from pipelines import storage
from pipelines.predictions.prediction_files import PredictionFiles
from pipelines.reporting import label_figures, summary

_SHOWN, _SIDE_PX = 12, 112


@dataclasses.dataclass(frozen=True)
class Face:
    """A thumbnail as a data URI, what it shows in words, and a line below."""

    data: str
    alt: str
    text: str


def faces(source: PredictionFiles, labels: str | None, split: str | None) -> Any:
    """(heading, faces) pairs: by confidence and, with labels, by age error."""
    sheets: list[tuple[str, list[Face]]] = []
    if {"p_female", "gender"} <= source.columns:
        for heading, order in (("Surest of the gender", "DESC"), ("Least sure of the gender", "")):
            sheets.append((heading, _by_confidence(source, order)))
    if labels is not None:
        joined = label_figures.join_labels(source, storage.normalize(labels), split).rows
        joined["error"] = joined["age_years"] - joined["true_age"]
        worst = joined.loc[joined["error"].abs().nlargest(_SHOWN).index]
        shown = [
            _face(str(uri), f"{age:.0f} years, labelled {truth:.0f}")
            for uri, age, truth in worst[["uri", "age_years", "true_age"]].to_numpy().tolist()
        ]
        sheets.append(("Furthest from the labelled age", [face for face in shown if face]))
    return [(heading, shown) for heading, shown in sheets if shown]


def _by_confidence(source: PredictionFiles, order: str) -> list[Face]:
    rows: list[tuple[str, str, float]] = []
    for db in summary.parts(source, ["uri", "gender", "p_female"]):
        query = (
            "SELECT uri, gender::VARCHAR, p_female FROM rows WHERE p_female IS NOT NULL AND "
            f"isfinite(p_female) ORDER BY abs(p_female - 0.5) {order}, uri LIMIT {_SHOWN}"
        )
        rows += db.execute(query).fetchall()
    rows.sort(key=lambda row: abs(row[2] - 0.5), reverse=bool(order))
    shown = [_face(u, f"{g}, {max(p, 1 - p):.0%}") for u, g, p in rows[:_SHOWN]]
    return [face for face in shown if face]


def _face(uri: str, text: str) -> Face | None:
    """A thumbnail, or None where the picture is gone or inside a tar."""
    try:
        with Image.open(io.BytesIO(storage.read_bytes(uri))) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError):
        return None
    picture = ImageOps.fit(picture, (_SIDE_PX, _SIDE_PX))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    data = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Face(data, f"face read as {text}", f"{text} ({os.path.basename(uri)[:24]})")
