"""An image with a box around each face and what was answered beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

MOST_SIDE_PX = 1600  # of the drawn image: fits a screen, and keeps a 50-megapixel one small
_BOX, _INK, _PAPER = (255, 214, 10), (20, 20, 20), (255, 214, 10)


def draw_faces(image: Image.Image, scale: float, rows: Sequence[Mapping[str, Any]]) -> Image.Image:
    """Draw boxes and answers.

    Args:
        image: the upright image in RGB, maybe smaller than itself; is left as it is.
        scale: its pixels for one of the image itself.
        rows: of the predictions, one a face, of this image.

    Returns:
        An image of at most `MOST_SIDE_PX` a side.
    """
    shrink = min(1.0, MOST_SIDE_PX / max(image.size))
    size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
    drawn = image.resize(size, Image.Resampling.LANCZOS) if shrink < 1 else image.copy()
    pen, scale = ImageDraw.Draw(drawn), scale * shrink
    for row in sorted(rows, key=lambda row: row["face_width"]):
        left, top = row["face_left"] * scale, row["face_top"] * scale
        right, bottom = left + row["face_width"] * scale, top + row["face_height"] * scale
        line = max(2, round((right - left) / 60))
        pen.rectangle((left, top, right, bottom), outline=_BOX, width=line)
        _label(pen, drawn.size, (left, bottom + line), short_answer(row), right - left)
    return drawn


def short_answer(row: Mapping[str, Any]) -> str:
    """`1 female 51`: the number of the face as people count, gender and age where there are."""
    parts = [str(row["face"] + 1)]
    if row["gender"] is not None:
        parts.append(row["gender"])
    if row["age_years"] is not None:
        parts.append(f"{row['age_years']:.0f}")
    return " ".join(parts)


def _label(
    pen: ImageDraw.ImageDraw,
    size: tuple[int, int],
    corner: tuple[float, float],
    text: str,
    width: float,
) -> None:
    """Write on a strip below a box, moved into the image where it would leave it."""
    font = ImageFont.load_default(min(32.0, max(12.0, width / 7)))
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    x = max(0.0, min(corner[0], size[0] - (right - left) - 8))
    y = max(0.0, min(corner[1], size[1] - (bottom - top) - 6))
    pen.rectangle((x, y, x + right - left + 8, y + bottom - top + 6), fill=_PAPER)
    pen.text((x + 4 - left, y + 3 - top), text, font=font, fill=_INK)
