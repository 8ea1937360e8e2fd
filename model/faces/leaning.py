"""How far a head really leans: each face is looked at once more by itself, large and turned back.

The points that the detector sees in a small face hardly turn with the head: where one leans by 20
degrees they say 3 at 40 pixels between the eyes, and 15 at 60. And some faces upside down are, to
it, faces whose eyes are above their mouths (docs/benchmarks/faces.md). So a face is shown to it at
64 pixels, and turned back by what it said, until it says upright. The points of a head that does
not lean stay as they were found.
"""

import numpy as np
from PIL import Image

from model.faces.alignment import Floats, aligned
from model.faces.detector import Detector, merged

_SIDE_PX, _FACE_PX = 192, 150.0  # of the square; of a face in it
_UPRIGHT_DEGREES = 5.0  # what it says of heads that do not lean is within 3 degrees of 0
_TURNED_DEGREES = 2.0  # the same of one that was turned
_FURTHER = 1.3  # it says some 0.77 of the degrees
_MOST_LOOKS = 6
# A face that scores less may be upside down; it is if it scores that much more when turned.
_DOUBTFUL, _CLEARLY = 0.9, 0.03
_LEAST_SCORE = 0.3
_OUTSIDE = 128


def straightened(found: Floats, image: Image.Image, scale: float, detector: Detector) -> Floats:
    """Rows of `Detector.find` whose points turn with the head.

    Args:
        found: (n, 15), one a face, in pixels of the whole picture.
        image: the picture.
        scale: pixels of `image` for one of the whole picture.
        detector: who looks.

    Returns:
        (n, 15); boxes and scores are those of `found`.
    """
    rows = [_straight(row, image, scale, detector) for row in found]
    return np.array(rows).reshape(-1, 15)


def _straight(row: Floats, image: Image.Image, scale: float, detector: Detector) -> Floats:
    start = degrees = round(_roll(row) / 90) * 90.0
    if row[14] < _DOUBTFUL:
        degrees = _best_turn(row, image, scale, start, detector)
    for _ in range(_MOST_LOOKS):
        face = _look(image, _way_in(row, scale, degrees), detector)
        leans = 0.0 if face is None else _roll(face)
        if abs(leans) < (_UPRIGHT_DEGREES if degrees == start else _TURNED_DEGREES):
            break
        degrees += _FURTHER * leans
    matrix = _way_in(row, scale, degrees)
    face = None if degrees == start else _look(image, matrix, detector)
    if face is None:
        return row
    turn, shift = matrix[:, :2], matrix[:, 2]
    points = (face[4:14].reshape(5, 2) - shift) @ np.linalg.inv(turn).T / scale
    return np.concatenate([row[:4], points.ravel(), row[14:]])


def _best_turn(
    row: Floats, image: Image.Image, scale: float, start: float, detector: Detector
) -> float:
    """The quarter turn in which a face scores best; the first of them unless clearly."""
    turns = [start, start + 180, start + 90, start - 90]
    looks = [_look(image, _way_in(row, scale, turn), detector) for turn in turns]
    scores = [0.0 if look is None else float(look[14]) for look in looks]
    best = int(np.argmax(scores))
    return turns[best] if scores[best] > scores[0] + _CLEARLY else start


def _way_in(row: Floats, scale: float, degrees: float) -> Floats:
    """(2, 3): from pixels of the image to the square, a head that leans so far upright."""
    angle = np.radians(-degrees)
    zoom = _FACE_PX / (float(np.sqrt(row[2] * row[3])) * scale)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = (row[:2] + row[2:4] / 2) * scale
    return np.concatenate([turn, (_SIDE_PX / 2 - turn @ centre)[:, None]], axis=1)


def _look(image: Image.Image, matrix: Floats, detector: Detector) -> Floats | None:
    """The face in the middle of the square, as the detector sees it."""
    square = aligned(image, matrix, (_SIDE_PX, _SIDE_PX), _OUTSIDE, most_samples=1)
    found = merged(detector.find(np.asarray(square), _LEAST_SCORE))
    off = np.hypot(*(found[:, :2] + found[:, 2:4] / 2 - _SIDE_PX / 2).T)
    is_it = (off < _FACE_PX / 3) & (np.sqrt(found[:, 2] * found[:, 3]) > _FACE_PX / 2)
    return found[is_it][0] if is_it.any() else None


def _roll(row: Floats) -> float:
    return float(np.degrees(np.arctan2(row[7] - row[5], row[6] - row[4])))
