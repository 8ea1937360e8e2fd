"""At which scales, and which way up, the detector looks at an image.

It is surest of faces of 60 to 200 pixels, upright to 25 degrees. So it looks at an image of
moderate size and, at little cost, at ever smaller ones. Whatever may be a face is then looked at
by itself (leaning.py), which decides. The whole is looked at closer only where that first look
shows tiny faces, as there may be some that it does not show, or nothing; and turned only where
nothing is found at all.
"""

import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from model.faces.detector import Detector, merged
from model.faces.face import Face, faces_of
from model.faces.roll import straightened
from model.pictures import Picture, decode_picture

Rows = npt.NDArray[np.float64]  # of Detector.find

# Raised whenever this file, leaning.py or detector.py could find other faces or points.
PYRAMID_VERSION = 1
# All of it measured on canvases: docs/benchmarks/faces.md.
_FIRST_PX, _MOST_PX = 1_000_000, 16_000_000  # square pixels of the first look and of the closest
_LEAST_PX = 200  # of the longer side of a first look: smaller images are enlarged
_MOST_SCALE = 2.0  # at 0.8, 97 % of leaning faces of 32 pixels show so, 78 % in their own size
_TINY_EYES_PX, _DOUBTFUL_SCORE = 10.0, 0.4  # a face of 16 pixels shows as doubtful in 87 of 100
_FAINT_SCALE = 0.75  # at which a face of 24 pixels shows as doubtful
_NEARLY = 0.7  # of the least size that counts: what is smaller is not looked into
_LAST_STEP = 0.7  # a look that is nearly the closest is not worth its time
_SMALLEST_PX = 100  # of the longer side of the smallest look
_TILE_PX, _OVERLAP_PX = 1024, 192  # a tile takes some 60 MB; larger faces are seen in another look
_TURNS = (1, 3, 2)  # quarter turns, counter-clockwise


def sized(width: int, height: int, scale: float) -> tuple[int, int]:
    """A size times a scale, rounded up."""
    return max(1, math.ceil(width * scale)), max(1, math.ceil(height * scale))


def first_look(width: int, height: int) -> tuple[int, int]:
    """The size at which an image is looked at first."""
    return sized(width, height, _first_scale(width, height))


def _first_scale(width: int, height: int) -> float:
    """1, 1/2, 1/4, …: a JPEG is decoded so, and averaging pixels costs a seventh of a filter."""
    scale = 1.0
    while width * height * scale**2 > _FIRST_PX:
        scale /= 2
    return scale if scale < 1 else max(1.0, _LEAST_PX / max(width, height))


def look_for_faces(
    data: bytes,
    picture: Picture,
    version: int,
    min_score: float,
    min_eye_distance_px: float,
    detector: Detector,
) -> tuple[list[Face], Picture]:
    """All faces of an image that score enough.

    Args:
        data: the whole file.
        picture: the file, decoded for a first look.
        version: of the pixels.
        min_score: 0-1.
        min_eye_distance_px: no closer look than one that shows such a face well.
        detector: who looks.

    Returns:
        The faces, in pixels of the whole image, and the image as it was last decoded.
    """
    width, height = picture.width, picture.height
    scale = _first_scale(width, height)
    most = max(scale, min(_MOST_SCALE, 2 * _TINY_EYES_PX / min_eye_distance_px))
    most = min(most, math.sqrt(_MOST_PX / (width * height)))
    doubtful = min(_DOUBTFUL_SCORE, min_score)
    seen = list(_smaller_looks(_scaled(picture, scale), (width, height), doubtful, detector))
    while True:
        found = merged(np.concatenate(seen))
        is_small = _eyes(found) < _NEARLY * min_eye_distance_px
        maybe, small = found[~is_small], found[is_small]
        tiny = maybe[_eyes(maybe) * scale < _TINY_EYES_PX]
        if scale >= most or not (len(tiny) or (not len(maybe) and scale < _FAINT_SCALE)):
            break
        scale = 2 * scale if 2 * scale < _LAST_STEP * most else most
        if picture.scale < min(1.0, scale):
            wanted = functools.partial(sized, scale=scale)
            picture = decode_picture(data, "rgb", version, wanted)
        closer = _scaled(picture, min(scale, picture.scale))
        zoom, near = max(1.0, scale / picture.scale), tiny if len(maybe) else None
        seen.append(_look(closer, (width, height), doubtful, detector, near, zoom))
    # Those too small to count are not looked into: they are only counted.
    small = small[small[:, 14] >= min_score]
    sure = np.concatenate([_sure(maybe, picture, min_score, detector), small])
    if not len(sure):
        turned = _turned_looks(picture, min_score, detector)
        sure = _sure(turned, picture, min_score, detector)
    return faces_of(sure), picture


def _sure(maybe: Rows, picture: Picture, min_score: float, detector: Detector) -> Rows:
    """Of what may be faces those that are, after each has been looked at by itself."""
    rows = straightened(maybe, picture.image, picture.scale, detector)
    return merged(rows[rows[:, 14] >= min_score])


def _eyes(rows: Rows) -> npt.NDArray[np.float64]:
    """Pixels from eye to eye, (n,)."""
    return np.hypot(rows[:, 6] - rows[:, 4], rows[:, 7] - rows[:, 5])


def _scaled(picture: Picture, scale: float) -> Image.Image:
    """The image at a scale of its whole size."""
    size = sized(picture.width, picture.height, scale)
    if picture.image.size == size:
        return picture.image
    if scale < picture.scale:
        return picture.image.reduce(round(picture.scale / scale))
    return picture.image.resize(size, Image.Resampling.BILINEAR)


def _smaller_looks(
    image: Image.Image, full: tuple[int, int], min_score: float, detector: Detector
) -> Iterator[Rows]:
    """Looks at an image, at half of it, at a quarter …: a close-up is too large for the first."""
    while True:
        yield _look(image, full, min_score, detector)
        if max(image.size) < 2 * _SMALLEST_PX:
            return
        image = image.reduce(2)


def _turned_looks(picture: Picture, min_score: float, detector: Detector) -> Rows:
    """What is seen in the image on its side or upside down: the turn that shows most."""
    full = (picture.width, picture.height)
    image = _scaled(picture, _first_scale(*full))
    best = np.empty((0, 15))
    for quarter_turns in _TURNS:
        turned = image.rotate(90 * quarter_turns, expand=True)
        around = full if quarter_turns == 2 else (full[1], full[0])
        parts = list(_smaller_looks(turned, around, min_score, detector))
        found = _turned_back(merged(np.concatenate(parts)), quarter_turns, *full)
        if found[:, 14].sum() > best[:, 14].sum():
            best = found
    return best


def _look(
    image: Image.Image,
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
    size = np.array(image.size) * zoom
    across, down = np.array(full) / size
    centres = None if near is None else (near[:, :2] + near[:, 2:4] / 2) / (across, down)
    for left, top in itertools.product(*map(_starts, size)):
        corner = np.array([left, top])
        if centres is not None:
            inside = (centres >= corner) & (centres <= corner + _TILE_PX)
            if not inside.all(axis=1).any():
                continue
        end = np.minimum(corner + _TILE_PX, size)
        width, height = np.ceil(end - corner).astype(int).tolist()
        if zoom == 1:
            tile = image.crop((left, top, left + width, top + height))
        else:  # a rounded box must not end beyond the image
            box = (*(corner / zoom).tolist(), *np.minimum(end / zoom, image.size).tolist())
            tile = image.resize((width, height), Image.Resampling.BILINEAR, box)
        found = detector.find(np.asarray(tile), min_score)
        found[:, 0:2] += corner
        found[:, 4:14] += np.tile(corner, 5)
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
