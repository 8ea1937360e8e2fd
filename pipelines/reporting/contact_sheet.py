"""A few faces beside the figures: the surest, the least sure, the worst errors. Only if asked for.

Faces are personal data: this is used only where `show_faces` is set. Of detected faces, each
is cut out of its image, and a few images are shown with boxes.
"""

import base64
import dataclasses
import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image, ImageOps

from model.errors import DecodeError
from model.faces.pyramid import sized
from model.pictures import PREPROCESSING_VERSION, Picture, decode_picture
from pipelines import storage
from pipelines.charts.boxed_faces import draw_faces, short_answer
from pipelines.manifests.manifest import BOX
from pipelines.predictions.prediction_files import PredictionFiles
from pipelines.reporting import label_join, summary

_SHOWN, _SIDE_PX = 12, 112
_PICTURES, _PICTURE_PX = 6, 720
_MARGIN = 0.3  # around a face, in parts of its box
_DRAWN = ("face", "gender", "age_years", *BOX)
Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """An image as a data URI, what it shows as text, and a line below."""

    data: str
    alt: str
    text: str


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A heading and what stands below it: faces, or whole images, which are shown larger."""

    title: str
    shown: Sequence[Thumbnail]
    of_pictures: bool = False


def sheets(source: PredictionFiles, labels: str | None, split: str | None) -> list[Sheet]:
    """By confidence, by age error where there are labels, and images where faces were detected."""
    made = list[Sheet]()
    if {"p_female", "gender"} <= source.columns:
        for heading, order in (("Most certain gender", "DESC"), ("Least certain gender", "")):
            made.append(Sheet(heading, _by_confidence(source, order)))
    if labels is not None:
        joined = label_join.join_labels(source, storage.normalize(labels), split).rows
        joined["error"] = joined["age_years"] - joined["true_age_years"]
        worst = joined.loc[joined["error"].abs().nlargest(_SHOWN).index]
        rows: list[dict[str, Any]] = worst.to_dict("records")  # type: ignore[assignment]
        shown = [
            face(row, f"{row['age_years']:.0f} years, labelled {row['true_age_years']:.0f}")
            for row in rows
        ]
        made.append(Sheet("Furthest from the labelled age", [one for one in shown if one]))
    made.append(Sheet("A few images with their faces", _pictures(source), of_pictures=True))
    return [sheet for sheet in made if sheet.shown]


def _by_confidence(source: PredictionFiles, order: str) -> list[Thumbnail]:
    boxes = [name for name in BOX if name in source.columns]
    query = (
        f"SELECT {', '.join(['uri', 'gender::VARCHAR AS gender', 'p_female', *boxes])} FROM rows "
        f"WHERE p_female IS NOT NULL AND isfinite(p_female) "
        f"ORDER BY abs(p_female - 0.5) {order}, uri LIMIT {_SHOWN}"
    )
    shown = [
        face(row, f"{row['gender']}, {max(row['p_female'], 1 - row['p_female']):.0%}")
        for row in _rows(source, query)
    ]
    return [one for one in shown if one]


def _pictures(source: PredictionFiles) -> list[Thumbnail]:
    """Images picked by the hash of their uri, with a box around each face."""
    if not {*_DRAWN} <= source.columns:
        return []
    query = (
        "SELECT DISTINCT uri, hash(uri) AS digest FROM rows WHERE face = 0 "
        f"ORDER BY digest, uri LIMIT {_PICTURES}"
    )
    picked = [row["uri"] for row in _rows(source, query)]
    names = ", ".join("gender::VARCHAR AS gender" if n == "gender" else n for n in _DRAWN)
    query = f"SELECT uri, {names} FROM rows WHERE uri IN (SELECT unnest(?)) ORDER BY uri, face"
    rows = _rows(source, query, [picked])
    shown = list[Thumbnail]()
    for uri in picked:
        faces = [row for row in rows if row["uri"] == uri]
        picture = _decoded(uri, lambda width, height: _PICTURE_PX / max(width, height))
        if picture is None:
            continue
        image = picture.image.copy()
        image.thumbnail((_PICTURE_PX, _PICTURE_PX))
        drawn = draw_faces(image, image.width / picture.width, faces)
        count = f"{len(faces)} face{'s' if len(faces) > 1 else ''}"
        answers = ", ".join(short_answer(face) for face in faces[:10])
        shown.append(_thumbnail(drawn, f"image with {count}: {answers}", count, uri))
    return shown


def _rows(source: PredictionFiles, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The answer to a query of `rows`."""
    answer = summary.open_rows(source).execute(query, values)
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def face(row: Row, text: str) -> Thumbnail | None:
    """A face and a line of text; None where the image cannot be read.

    Args:
        row: uri, and the columns of `BOX` where it was found in an image, which it is cut out of.
        text: what is read off it.
    """
    box: list[Any] = [row.get(name) for name in BOX]
    found = all(value is not None and math.isfinite(value) for value in box)

    def scale(*size: int) -> float:
        return 2 * _SIDE_PX / (max(box[2:]) if found else min(size))

    picture = _decoded(row["uri"], scale)
    if picture is None:
        return None
    image = _cut(picture, box) if found else picture.image
    image = ImageOps.fit(image, (_SIDE_PX, _SIDE_PX))
    return _thumbnail(image, f"face predicted as {text}", text, row["uri"])


def _cut(picture: Picture, box: Sequence[float]) -> Image.Image:
    """A square around a face, or as much of it as the image has."""
    left, top, width, height = (value * picture.scale for value in box)
    half = max(width, height) * (0.5 + _MARGIN)
    x, y, image = left + width / 2, top + height / 2, picture.image
    left, right = (round(min(max(edge, 0), image.width)) for edge in (x - half, x + half))
    top, bottom = (round(min(max(edge, 0), image.height)) for edge in (y - half, y + half))
    return image.crop((left, top, max(left + 1, right), max(top + 1, bottom)))


def _decoded(uri: str, scale: Callable[[int, int], float]) -> Picture | None:
    """An image at no less than a scale; None where it is gone, inside a tar, or broken."""

    def min_size(width: int, height: int) -> tuple[int, int]:
        return sized(width, height, min(1.0, scale(width, height)))

    try:
        return decode_picture(storage.read_bytes(uri), "rgb", PREPROCESSING_VERSION, min_size)
    except (OSError, DecodeError):
        return None


def _thumbnail(image: Image.Image, alt: str, text: str, uri: str) -> Thumbnail:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    data = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Thumbnail(data, alt, f"{text} ({os.path.basename(uri)[:24]})")
