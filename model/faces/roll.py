"""Each face looked at once more by itself, large and turned back: is it one, and how it is rolled.

The landmarks that the detector sees in a small face hardly turn with the head: of a roll of 20
degrees they say 3 at 40 pixels between the eyes, and 15 at 60. And some faces upside down are, to
it, faces whose eyes are above their mouths (docs/benchmarks/faces.md). So a face is shown to it at
64 pixels, and turned back by what it said, until it says upright. Small and doubtful ones are
surer then: what counts is the better of the two scores. The points of a head that does not lean
are the mean of both looks'.
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
_HOPELESS = 0.6  # what scores less than that both times is not turned: it is no face
_LEAST_SCORE = 0.3
_OUTSIDE = 128


def straightened(found: Floats, image: Image.Image, scale: float, detector: Detector) -> Floats:
    """Rows of `Detector.find` whose points turn with the head.

    Args:
        found: (n, 15), one a face, in pixels of the whole image.
        image: the image.
        scale: pixels of `image` for one of the whole image.
        detector: who looks.

    Returns:
        (n, 15); the box is that of the look which scored better.
    """
    rows = [_straight(row, image, scale, detector) for row in found]
    return np.array(rows).reshape(-1, 15)


def _straight(row: Floats, image: Image.Image, scale: float, detector: Detector) -> Floats:
    start = degrees = round(_roll(row) / 90) * 90.0
    face = _look(image, _way_in(row, scale, degrees), detector)
    if _HOPELESS < max(row[14], _score(face)) < _DOUBTFUL:
        degrees, face = _best_turn(row, image, scale, start, detector)
    for _ in range(_MOST_LOOKS):
        leans = 0.0 if face is None else _roll(face)
        if abs(leans) < (_UPRIGHT_DEGREES if degrees == start else _TURNED_DEGREES):
            break
        degrees += _FURTHER * leans
        face = _look(image, _way_in(row, scale, degrees), detector)
    if face is None:
        return row
    back = _way_back(row, scale, degrees)
    points = face[4:14].reshape(5, 2) @ back[:, :2].T + back[:, 2]
    if degrees == start:
        points = (points + row[4:14].reshape(5, 2)) / 2
    box, score = row[:4], row[14]
    if face[14] > score:
        centre = back[:, :2] @ (face[:2] + face[2:4] / 2) + back[:, 2]
        size = face[2:4] * np.hypot(back[0, 0], back[1, 0])
        box, score = np.concatenate([centre - size / 2, size]), face[14]
    return np.concatenate([box, points.ravel(), [score]])


def _best_turn(
    row: Floats, image: Image.Image, scale: float, start: float, detector: Detector
) -> tuple[float, Floats | None]:
    """The quarter turn in which a face scores best, and how; the first of them unless clearly."""
    turns = [start, start + 180, start + 90, start - 90]
    looks = [_look(image, _way_in(row, scale, turn), detector) for turn in turns]
    scores = [_score(look) for look in looks]
    best = int(np.argmax(scores))
    if scores[best] <= scores[0] + _CLEARLY:
        best = 0
    return turns[best], looks[best]


def _score(face: Floats | None) -> float:
    return 0.0 if face is None else float(face[14])


def _way_in(row: Floats, scale: float, degrees: float) -> Floats:
    """(2, 3): from pixels of the image to the square, a head that is rolled so far upright."""
    angle = np.radians(-degrees)
    zoom = _FACE_PX / (float(np.sqrt(row[2] * row[3])) * scale)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = (row[:2] + row[2:4] / 2) * scale
    return np.concatenate([turn, (_SIDE_PX / 2 - turn @ centre)[:, None]], axis=1)


def _way_back(row: Floats, scale: float, degrees: float) -> Floats:
    """(2, 3): from the square of `_way_in` to pixels of the whole image."""
    matrix = _way_in(row, scale, degrees)
    turn = np.linalg.inv(matrix[:, :2]).astype(np.float64) / scale
    return np.concatenate([turn, -turn @ matrix[:, 2:]], axis=1)


def _look(image: Image.Image, matrix: Floats, detector: Detector) -> Floats | None:
    """The face in the middle of the square, as the detector sees it."""
    square = _square(image, matrix)
    found = merged(detector.find(np.asarray(square), _LEAST_SCORE))
    off = np.hypot(*(found[:, :2] + found[:, 2:4] / 2 - _SIDE_PX / 2).T)
    is_it = (off < _FACE_PX / 3) & (np.sqrt(found[:, 2] * found[:, 3]) > _FACE_PX / 2)
    return found[is_it][0] if is_it.any() else None


def _square(image: Image.Image, matrix: Floats) -> Image.Image:
    """What `matrix` brings into the square."""
    size = (_SIDE_PX, _SIDE_PX)
    zoom, across = matrix[0, :2]
    if abs(across) < 1e-9 and zoom > 0:  # not turned: three times as fast
        left, top = (-matrix[:, 2] / zoom).tolist()
        right, bottom = left + _SIDE_PX / zoom, top + _SIDE_PX / zoom
        if left >= 0 and top >= 0 and right <= image.width and bottom <= image.height:
            return image.resize(size, Image.Resampling.BILINEAR, (left, top, right, bottom))
    return aligned(image, matrix, size, _OUTSIDE, max_samples=1)


def _roll(row: Floats) -> float:
    return float(np.degrees(np.arctan2(row[7] - row[5], row[6] - row[4])))
