"""Second detector pass on upright crops of the faces: is it one, and how is it rolled.

The landmarks that the detector sees in a small face hardly turn with the head: of a roll of 20
degrees they say 3 at 40 pixels between the eyes, and 15 at 60. And some faces upside down are, to
it, faces whose eyes are above their mouths (docs/benchmarks/faces.md). So a face is shown to it
large, and turned back by what it said, until it says upright. All faces of an image that wait are
shown side by side, in one run. A face that was large, level and sure in the first pass needs no
second one.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from model.faces.alignment import Floats, Pixels, aligned, inverse
from model.faces.detector import Detector, Rows, merged

_SIDE_PX, _FACE_PX = 160, 125.0  # of the square; of a face in it
# In the middle of a square the detector's grid falls the same way each time: its landmarks are so
# much wider than those of the same faces at many places, and lie so many pixels lower.
_TOO_WIDE, _TOO_LOW_PX = 1.08, 0.7
_SMALL_PX = 80  # of the square in which other turns are tried: a quarter of the work
_LARGE_EYES_PX = 48.0  # from eye to eye in the first pass: those landmarks turn with the head
_FAIR_EYES_PX = 24.0  # those landmarks are worth as much as the second pass's
_UPRIGHT_DEGREES = 5.0  # what it says of heads that are not rolled is within 3 degrees of 0
_MOST_DEGREES = 4.0  # a head that is rolled further is turned back, and looked at again
_FURTHER = 1.3  # it says some 0.77 of the degrees
_MOST_TURNS = 6
# Of 400 faces that are upright 1 in 100 scores less than this in a square, of those that are
# upside down 99; a face is turned if it scores so much then, or that much more.
SURE_SCORE, CLEARLY = 0.915, 0.03
_QUARTERS, _MORE_TURNS = (180, 90, -90), (0, 180, 90, -90, 35, -35)
_USUAL_SCORE = 0.85  # what scores less would be lost
_HOPELESS = 0.6  # what scores less than that both times is not turned: it is no face
_MIN_SCORE = 0.3
_OUTSIDE = 128
_ACROSS, _DOWN = 4, 4  # squares of one run of the detector, at most: 0.4 megapixels


@dataclasses.dataclass
class _Face:
    """A face on its way through the second pass.

    Attributes:
        row: of the first pass.
        is_large: whether the landmarks of `row` are those of a large face.
        degrees: by which it was turned last.
        look: what the detector said then, in pixels of the square; None where it saw no face.
        score: the best of the first pass and of those of the second that count.
    """

    row: Rows
    is_large: bool
    degrees: float
    look: Rows | None = None
    score: float = 0.0

    @property
    def roll(self) -> float:
        """Degrees by which the head is rolled in its square; 0 where no face was seen."""
        return 0.0 if self.look is None else _roll(self.look)


def refined(found: Rows, pixels: Pixels, scale: float, seen_at: float, detector: Detector) -> Rows:
    """Rows of `Detector.detect` whose landmarks turn with the head.

    Args:
        found: (n, 15), one a face, in pixels of the whole image.
        pixels: of the image, uint8 (height, width, 3).
        scale: pixels of `pixels` for one of the whole image.
        seen_at: the scale at which they were found.
        detector: who looks.

    Returns:
        (n, 15); the box is that of the pass which scored better.
    """
    rows = [_corrected(row) for row in found]
    waiting = {
        i: _first(row, seen_at) for i, row in enumerate(found) if not _is_settled(row, seen_at)
    }
    faces = list(waiting.values())
    _look_at(faces, pixels, scale, detector)
    _straighten(faces, pixels, scale, detector)
    doubtful = [face for face in faces if _HOPELESS < face.score < SURE_SCORE]
    _straighten(_turn(doubtful, pixels, scale, detector), pixels, scale, detector)
    for i, face in waiting.items():
        rows[i] = _result(face, scale)
    return np.array(rows).reshape(-1, 15)


def _is_settled(row: Rows, seen_at: float) -> bool:
    is_large = _eyes_px(row) * seen_at >= _LARGE_EYES_PX
    return is_large and row[14] >= SURE_SCORE and abs(_roll(row)) < _MOST_DEGREES


def _first(row: Rows, seen_at: float) -> _Face:
    roll, quarter = _roll(row), _quarter(row)
    is_rolled = abs(roll - quarter) > _UPRIGHT_DEGREES
    degrees = quarter + _FURTHER * (roll - quarter) if is_rolled else quarter
    return _Face(row, _eyes_px(row) * seen_at >= _FAIR_EYES_PX, degrees, score=float(row[14]))


def _straighten(faces: Sequence[_Face], pixels: Pixels, scale: float, detector: Detector) -> None:
    """Turn each face back by what was said of it, until it says upright."""
    for _ in range(_MOST_TURNS):
        faces = [face for face in faces if abs(face.roll) > _MOST_DEGREES]
        for face in faces:
            face.degrees += _FURTHER * face.roll
            face.look = None
        _look_at(faces, pixels, scale, detector)


def _turn(faces: Sequence[_Face], pixels: Pixels, scale: float, detector: Detector) -> list[_Face]:
    """Try other turns, in small; returns those faces that score clearly better so."""
    tries = [
        [
            _Face(face.row, face.is_large, _quarter(face.row) + turn)
            for turn in (_QUARTERS if face.score > _USUAL_SCORE else _MORE_TURNS)
        ]
        for face in faces
    ]
    _look_at([other for some in tries for other in some], pixels, scale, detector, _SMALL_PX)
    better = list[_Face]()
    for face, some in zip(faces, tries, strict=True):
        best = max(some, key=lambda other: other.score)
        if best.score >= min(SURE_SCORE, _score(face.look) + CLEARLY):
            face.degrees, face.look, face.score = (
                best.degrees,
                best.look,
                max(face.score, best.score),
            )
            better.append(face)
    _look_at(better, pixels, scale, detector)
    return better


def _result(face: _Face, scale: float) -> Rows:
    row, look = face.row, face.look
    if look is None:
        return row
    back = _way_back(row, scale, face.degrees)
    points = _turned(_unbiased(look[4:14].reshape(5, 2)), (_FURTHER - 1) * _roll(look))
    points = points @ back[:, :2].T + back[:, 2]
    if face.degrees == 0 and face.is_large:
        points = (points + row[4:14].reshape(5, 2)) / 2
    box = row[:4]
    if face.score > row[14]:
        centre = back[:, :2] @ (look[:2] + look[2:4] / 2) + back[:, 2]
        size = look[2:4] * np.hypot(back[0, 0], back[1, 0])
        box = np.concatenate([centre - size / 2, size])
    return np.concatenate([box, points.ravel(), [face.score]])


def _corrected(row: Rows) -> Rows:
    points = _turned(row[4:14].reshape(5, 2), (_FURTHER - 1) * _roll(row))
    return np.concatenate([row[:4], points.ravel(), row[14:]])


def _unbiased(points: Floats) -> Floats:
    """Landmarks of an upright face in the middle of a square, as they would be elsewhere."""
    middle = points.mean(axis=0)
    return (points - middle) / (_TOO_WIDE, 1) + middle - (0, _TOO_LOW_PX)


def _quarter(row: Rows) -> float:
    """Degrees of the quarter turn that the roll is nearest to."""
    return round(_roll(row) / 90) * 90.0


def _turned(points: Floats, degrees: float) -> Floats:
    """Points turned clockwise around their middle."""
    angle, middle = math.radians(degrees), points.mean(axis=0)
    cos, sin = math.cos(angle), math.sin(angle)
    return (points - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle


def _eyes_px(row: Rows) -> float:
    return math.dist(row[4:6], row[6:8])


def _score(look: Rows | None) -> float:
    return 0.0 if look is None else float(look[14])


def _roll(row: Rows) -> float:
    return math.degrees(math.atan2(row[7] - row[5], row[6] - row[4]))


def _look_at(
    faces: Sequence[_Face], pixels: Pixels, scale: float, detector: Detector, side: int = _SIDE_PX
) -> None:
    """Show each face as it is turned, in squares side by side; sets what the detector says."""
    for start in range(0, len(faces), _ACROSS * _DOWN):
        some = faces[start : start + _ACROSS * _DOWN]
        across = min(_ACROSS, len(some))
        down = -(-len(some) // across)
        sheet = np.full((down * side, across * side, 3), _OUTSIDE, np.uint8)
        corners = [((i % across) * side, (i // across) * side) for i in range(len(some))]
        for face, (x, y) in zip(some, corners, strict=True):
            matrix = _way_in(face.row, scale, face.degrees) * (side / _SIDE_PX)
            sheet[y : y + side, x : x + side] = aligned(
                pixels, matrix, (side, side), _OUTSIDE, max_samples=1
            )
        found = detector.detect(sheet, _MIN_SCORE)
        found[:, :14] *= _SIDE_PX / side
        middles = found[:, :2] + found[:, 2:4] / 2
        is_large = found[:, 2] * found[:, 3] > (_FACE_PX / 2) ** 2
        for face, corner in zip(some, np.array(corners) * (_SIDE_PX / side), strict=True):
            off = np.hypot(*(middles - corner - _SIDE_PX / 2).T)
            there = merged(found[is_large & (off < _FACE_PX / 3)])
            if len(there):
                look = there[0]
                look[:2] -= corner
                look[4:14] -= np.tile(corner, 5)
                face.look, face.score = look, max(face.score, float(look[14]))


def _way_in(row: Rows, scale: float, degrees: float) -> Floats:
    """(2, 3): from pixels of the image to the square, a head that is rolled so far upright."""
    angle = math.radians(-degrees)
    zoom = _FACE_PX / (math.sqrt(row[2] * row[3]) * scale)
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    centre = (row[:2] + row[2:4] / 2) * scale
    return np.concatenate([turn, (_SIDE_PX / 2 - turn @ centre)[:, None]], axis=1)


def _way_back(row: Rows, scale: float, degrees: float) -> Floats:
    """(2, 3): from the square of `_way_in` to pixels of the whole image."""
    return inverse(_way_in(row, scale, degrees)) / scale
