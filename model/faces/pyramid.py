"""At which scales, and which way up, the detector looks at an image.

It is surest of faces of 60 to 200 pixels, upright to 25 degrees, and shows faces down to 17 pixels
as doubtful. So an image is looked at small, which costs a tenth of a look at a megapixel, and
whatever may be a face is then looked at by itself (roll.py), which decides. The image is looked at
closer only around faces that were tiny at that scale, as there may be some that it does not show;
or everywhere, where nothing was found. Where most of the faces lie on their side or upside down,
or nothing is found, it is looked at turned.
"""

import functools
import itertools
import math
from collections.abc import Callable

import numpy as np

from model.faces.alignment import Pixels, resized, shrunk
from model.faces.detector import Detector, Rows, distinct_from, merged
from model.faces.face import Face, faces_of
from model.faces.roll import CLEARLY, SURE_SCORE, refined
from model.pictures import Picture, decode_picture

# Raised whenever this file, roll.py, detector.py or the sampling of alignment.py could find other
# faces, landmarks or pixels.
PYRAMID_VERSION = 2
# All of it measured on canvases: docs/benchmarks/faces.md.
# Square pixels of the first look: an eighth of the image, eyes 28 pixels apart are 10 there.
_LEAST_FIRST_PX, _MOST_FIRST_PX = 120_000, 500_000
_MOST_PX = 16_000_000  # of the closest look
_FIRST_SHARE, _FIRST_SCALE = 1 / 8, 0.8  # of the image's pixels; of its sides at most
_DECODED_PX = 220_000  # of the image from which faces are cut for the second pass, at least
# Of the longer side: images of that size are mostly crops of one face, or hold small faces if any,
# and all are looked at in this one. At 128 the landmarks of UTKFace's chips lie 3 % too low.
_CROP_PX, _LEAST_PX = 256, 160
_MOST_SCALE = 2.0  # at 0.8, 97 % of rolled faces of 32 pixels show so, 78 % in their own size
_FAINT_SCORE = 0.15  # faces of 17 pixels score so in 96 of 100, texture 3 times in a first look
_DOUBTFUL_SCORE = 0.4  # an image is decoded larger for what scores so
_TINY_EYES_PX = 10.0
_FAINT_SCALE = 0.75  # at which a face of 24 pixels shows as doubtful
_NEARLY = 0.7  # of the least size that counts: what is smaller is not looked into
_LAST_STEP = 0.7  # a look that is nearly the closest is not worth its time
_GOOD_PX = 100  # the detector is surest of such a face
_LARGE_PX = 220  # a larger face is surer at half the scale
_TILE_PX, _OVERLAP_PX = 1024, 192  # a tile takes some 60 MB; larger faces are seen in another look
_TURNS = (1, 3, 2)  # quarter turns, counter-clockwise

# What scale of the whole image the network needs to see these rows in its own size.
Needed = Callable[[Rows], float]


def sized(width: int, height: int, scale: float) -> tuple[int, int]:
    """A size times a scale, rounded up."""
    return max(1, math.ceil(width * scale)), max(1, math.ceil(height * scale))


def first_size(width: int, height: int) -> tuple[int, int]:
    """The size at which an image is decoded first."""
    area = width * height
    least = max(_DECODED_PX, _first_scale(width, height) ** 2 * area)
    return sized(width, height, min(1.0, math.sqrt(least / area)))


class View:
    """An image, upright or turned, at any scale."""

    def __init__(self, data: bytes, version: int, picture: Picture, turns: int = 0) -> None:
        """Show a picture.

        Args:
            data: the whole file.
            version: of the pixels.
            picture: the file, decoded and turned so.
            turns: by so many quarters counter-clockwise.
        """
        self.data, self.version, self.picture, self.turns = data, version, picture, turns
        self.size = picture.width, picture.height

    def turned(self, turns: int) -> "View":
        """The same image, turned counter-clockwise by quarters."""
        width, height = self.size if turns == 2 else self.size[::-1]
        pixels = np.ascontiguousarray(np.rot90(self.picture.pixels, turns))
        return View(self.data, self.version, Picture(pixels, width, height), turns)

    def ensure(self, scale: float) -> Picture:
        """The image at that scale at least, or in its own size."""
        if self.picture.scale < min(1.0, scale):
            wanted = functools.partial(sized, scale=min(1.0, scale))
            picture = decode_picture(self.data, "rgb", self.version, wanted)
            pixels = np.ascontiguousarray(np.rot90(picture.pixels, self.turns))
            self.picture = Picture(pixels, *self.size)
        return self.picture

    def at(self, scale: float) -> Pixels:
        """The image at a scale of its whole size, decoded as it is."""
        pixels, size = self.picture.pixels, sized(*self.size, scale)
        if pixels.shape[1::-1] == size:
            return pixels
        if (factor := int(self.picture.scale / scale)) > 1:
            pixels = shrunk(pixels, factor)
        return resized(pixels, size)


def detect_faces(
    view: View,
    min_score: float,
    min_eye_distance_px: float,
    needed: Needed,
    detector: Detector,
) -> list[Face]:
    """All faces of an image that score enough, in pixels of the whole image.

    Args:
        view: the image; holds it afterwards at the largest scale at which it was needed.
        min_score: 0-1.
        min_eye_distance_px: no closer look than one that shows such a face well.
        needed: at which scale the network needs the image for some faces.
        detector: who looks.
    """
    wanted = (min_score, min_eye_distance_px, needed, detector)
    faces = _searched(view, *wanted)
    if len(sure := faces[faces[:, 14] >= SURE_SCORE]):
        turns, kept = _most_turns(sure), faces
    else:
        turns, kept = _best_turns(view, faces, min_score, detector), sure
    if turns:
        turned = view.turned(turns)
        others = _turned_back(_searched(turned, *wanted), turns, *view.size)
        faces = _best_of(np.concatenate([others, kept]))
    return faces_of(faces)


def _searched(
    view: View, min_score: float, min_eye_distance_px: float, needed: Needed, detector: Detector
) -> Rows:
    """The faces of an image as it is turned, (n, 15)."""
    width, height = view.size
    scale = _first_scale(width, height)
    most = max(scale, min(_MOST_SCALE, 2 * _TINY_EYES_PX / min_eye_distance_px))
    most = min(most, math.sqrt(_MOST_PX / (width * height)))
    faint = min(_FAINT_SCORE, min_score)
    found = merged(_look(view.at(scale), view.size, faint, detector))
    if not len(found) or max(found[0, 2:4]) * scale > _LARGE_PX:
        found = _with_smaller(found, view, scale, faint, detector)
    faces, small = np.empty((0, 15)), np.empty((0, 15))
    while True:
        is_small = _eyes(found) < _NEARLY * min_eye_distance_px
        small = np.concatenate([small, found[is_small & (found[:, 14] >= min_score)]])
        maybe = distinct_from(faces, found[~is_small])
        likely = maybe[maybe[:, 14] >= _DOUBTFUL_SCORE]
        if len(likely) and view.picture.scale < 1:
            view.ensure(needed(likely))
        picture = view.picture
        sure = refined(maybe, picture.pixels, picture.scale, scale, detector)
        faces = merged(np.concatenate([faces, sure[sure[:, 14] >= min_score]]))
        tiny = faces[_eyes(faces) * scale < _TINY_EYES_PX]
        if scale >= most or not (len(tiny) or (not len(faces) and scale < _FAINT_SCALE)):
            break
        scale = 2 * scale if 2 * scale < _LAST_STEP * most else most
        view.ensure(scale)
        near = tiny if len(faces) else None
        zoom = max(1.0, scale / view.picture.scale)
        closer = view.at(scale / zoom)
        found = merged(_look(closer, view.size, faint, detector, near, zoom))
    # Those too small to count are not looked into: they are only counted.
    return np.concatenate([faces, distinct_from(faces, small)])


def _first_scale(width: int, height: int) -> float:
    longer = max(width, height)
    if longer <= _CROP_PX:
        return _LEAST_PX / longer
    area = width * height
    wanted = min(max(_FIRST_SHARE * area, _LEAST_FIRST_PX), _MOST_FIRST_PX)
    return min(_FIRST_SCALE, math.sqrt(wanted / area))


def _with_smaller(found: Rows, view: View, scale: float, faint: float, detector: Detector) -> Rows:
    """What is found at a scale, and at half of it: a close-up is too large for the first."""
    half = _look(view.at(scale / 2), view.size, faint, detector)
    return merged(np.concatenate([found, half]))


def _eyes(rows: Rows) -> Rows:
    """Pixels from eye to eye, (n,)."""
    return np.hypot(rows[:, 6] - rows[:, 4], rows[:, 7] - rows[:, 5])


def _most_turns(faces: Rows) -> int:
    """The quarter turns, counter-clockwise, that bring most of the faces upright."""
    roll = np.arctan2(faces[:, 7] - faces[:, 5], faces[:, 6] - faces[:, 4])
    quarters = np.round(roll / (np.pi / 2)).astype(int) % 4
    return int(np.bincount(quarters, minlength=4).argmax())


def _best_turns(view: View, faces: Rows, min_score: float, detector: Detector) -> int:
    """The quarter turns in which a look shows most; 0 where none shows more than these faces."""
    scale = _first_scale(*view.size)
    if len(faces):  # no larger than these need
        scale = min(scale, _GOOD_PX / float(faces[:, 2:4].max()))
    most, best = float(faces[:, 14].sum()) + CLEARLY, 0
    for pixels in [view.at(scale)] if len(faces) else [view.at(scale), view.at(scale / 2)]:
        for turns in _TURNS:
            turned = np.ascontiguousarray(np.rot90(pixels, turns))
            found = merged(_look(turned, turned.shape[1::-1], min_score, detector))
            if found[:, 14].sum() > most:
                most, best = float(found[:, 14].sum()), turns
        if best:
            break
    return best


def _best_of(faces: Rows) -> Rows:
    """Of rows that show the same face the surest."""
    faces = faces[np.argsort(-faces[:, 14], kind="stable")]
    kept = faces[:0]
    for row in faces:
        if len(distinct_from(kept, row[None])):
            kept = np.concatenate([kept, row[None]])
    return kept


def _look(
    pixels: Pixels,
    full: tuple[int, int],
    min_score: float,
    detector: Detector,
    near: Rows | None = None,
    zoom: float = 1.0,
) -> Rows:
    """What the detector finds in an image, tile by tile, in pixels of the whole image.

    With `near` only tiles are looked at in which one of these lies: where one face is tiny there
    may be more. `zoom` enlarges each.
    """
    parts = [np.empty((0, 15))]
    own = np.array(pixels.shape[1::-1])
    size = own * zoom
    across, down = np.array(full) / size
    centres = None if near is None else (near[:, :2] + near[:, 2:4] / 2) / (across, down)
    for left, top in itertools.product(*map(_starts, size)):
        corner = np.array([left, top])
        if centres is not None:
            inside = (centres >= corner) & (centres <= corner + _TILE_PX)
            if not inside.all(axis=1).any():
                continue
        end = np.minimum(corner + _TILE_PX, size)
        (x, y), (right, bottom) = np.floor(corner / zoom), np.minimum(np.ceil(end / zoom), own)
        tile = pixels[int(y) : int(bottom), int(x) : int(right)]
        if zoom != 1:
            tile = resized(tile, sized(tile.shape[1], tile.shape[0], zoom))
        found = detector.detect(tile, min_score)
        start = np.array([x, y]) * zoom
        found[:, 0:2] += start
        found[:, 4:14] += np.tile(start, 5)
        parts.append(found)
    found = np.concatenate(parts)
    found[:, 0:14:2] *= across
    found[:, 1:14:2] *= down
    return found


def _starts(length: float) -> range:
    """Where tiles begin that cover a length."""
    if length <= _TILE_PX:
        return range(1)
    return range(0, math.ceil(length) - _OVERLAP_PX, _TILE_PX - _OVERLAP_PX)


def _turned_back(found: Rows, quarter_turns: int, width: int, height: int) -> Rows:
    """Rows of an image of that size, of which an image turned counter-clockwise was looked at."""
    start, end = found[:, None, 0:2], found[:, None, 0:2] + found[:, None, 2:4]
    corners = np.concatenate([start, end, found[:, 4:14].reshape(-1, 5, 2)], axis=1)
    x, y = corners[..., 0], corners[..., 1]
    places = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
    corners = np.stack(places[quarter_turns], axis=-1)
    start, end = corners[:, :2].min(axis=1), corners[:, :2].max(axis=1)
    return np.concatenate(
        [start, end - start, corners[:, 2:].reshape(-1, 10), found[:, 14:]], axis=1
    )
