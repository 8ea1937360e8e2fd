"""From a file to what the network takes: the image as a whole, or each face in it, aligned.

One function for training, evaluation and scoring.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from model.errors import DecodeError
from model.faces.alignment import UTKFACE_CHIPS, aligned, scale_of, similarity, template_of
from model.faces.detector import Rows, detector_id, shared_detector
from model.faces.face import Face
from model.faces.pyramid import PYRAMID_VERSION, View, detect_faces, first_size, sized
from model.pictures import Picture, decode_picture
from model.preprocessing import InputSpec, decode_image


@dataclasses.dataclass(frozen=True)
class FaceSearch:
    """Which faces of an image count.

    Attributes:
        min_score: of the detector, 0-1.
        min_eye_distance_px: pixels from eye to eye, in the image itself.
        max_faces: of an image; the largest are kept.
    """

    min_score: float = 0.85
    min_eye_distance_px: float = 8.0
    max_faces: int = 500


@dataclasses.dataclass(frozen=True)
class Crops:
    """What of an image goes to the network.

    Attributes:
        pixels: uint8 (n, height, width, channels).
        faces: n of them, largest first, maybe none; None of a face crop, n = 1.
        width: of the upright image, in pixels.
        height: likewise.
        skipped: faces that are too small, or more than are kept.
    """

    pixels: npt.NDArray[np.uint8]
    faces: tuple[Face, ...] | None
    width: int
    height: int
    skipped: int = 0


# Every face that counts, the one face whose ten numbers are given, or the image as a whole.
Wanted = FaceSearch | tuple[float, ...] | None


def crops_of(data: bytes, spec: InputSpec, wanted: Wanted = None) -> Crops:
    """Decode a file and cut out of the image what the network is to see.

    Args:
        data: the whole file.
        spec: what the network takes.
        wanted: every face that counts, the face whose five points are given (x and y one after
            the other, in pixels of the upright image), or the whole image.

    Raises:
        DecodeError: as `decode_picture`; `bad_points` where the points are no five points.
    """
    if wanted is None:
        whole = decode_image(data, spec)
        return Crops(whole.pixels[None], None, whole.width, whole.height)
    if isinstance(wanted, FaceSearch):
        return _found(data, spec, wanted)
    return _given(data, spec, wanted)


def finding_id(spec: InputSpec) -> str:
    """Who finds and aligns, for a job's identity: detector's weights, looks, alignment."""
    alignment = spec.alignment or UTKFACE_CHIPS
    return f"{detector_id()}.{PYRAMID_VERSION}.{alignment.hash}"


def _found(data: bytes, spec: InputSpec, search: FaceSearch) -> Crops:
    view = View(data, spec.version, decode_picture(data, "rgb", spec.version, first_size))
    needed = functools.partial(_scale_for, spec=spec)
    least_px = search.min_eye_distance_px
    found = detect_faces(view, search.min_score, least_px, needed, shared_detector())
    large = [face for face in found if face.eye_distance_px >= least_px]
    large.sort(key=lambda face: face.area, reverse=True)
    faces = tuple(large[: search.max_faces])
    if faces and view.picture.scale < 1:
        view.ensure(_needed(faces, spec))
    picture = view.picture
    pixels = _aligned(picture, faces, spec)
    return Crops(pixels, faces, picture.width, picture.height, len(found) - len(faces))


def _given(data: bytes, spec: InputSpec, points: Sequence[float]) -> Crops:
    corners = np.array(points, dtype=np.float64)
    if corners.shape != (10,) or not np.isfinite(corners).all() or np.ptp(corners[0::2]) <= 0:
        text = f"the face's five points must be ten numbers, eyes apart, and are {tuple(points)}"
        raise DecodeError("bad_points", text[:300])
    face = Face(math.nan, math.nan, math.nan, math.nan, tuple(points), math.nan)
    least = functools.partial(sized, scale=_needed([face], spec))
    picture = decode_picture(data, "rgb", spec.version, least)
    return Crops(_aligned(picture, [face], spec), (face,), picture.width, picture.height)


def _needed(faces: Sequence[Face], spec: InputSpec) -> float:
    """The scale at which an image shows each of the faces in the network's own size, at most 1."""
    return _scale_for(np.array([(0.0,) * 4 + face.points for face in faces]), spec)


def _scale_for(rows: Rows, spec: InputSpec) -> float:
    """`_needed` of rows of `Detector.detect`."""
    template = template_of(spec.alignment or UTKFACE_CHIPS, spec.width, spec.height)
    scales = [scale_of(similarity(row[4:14].reshape(5, 2), template)) for row in rows]
    return min(1.0, max(scales) * spec.jpeg_oversample)


def _aligned(picture: Picture, faces: Sequence[Face], spec: InputSpec) -> npt.NDArray[np.uint8]:
    """The faces, uint8 (n, *spec.shape)."""
    alignment = spec.alignment or UTKFACE_CHIPS
    template = template_of(alignment, spec.width, spec.height)
    pixels = np.empty((len(faces), *spec.shape), dtype=np.uint8)
    for i, face in enumerate(faces):
        matrix = similarity(face.point_array * picture.scale, template)
        cut = aligned(picture.pixels, matrix, (spec.width, spec.height), alignment.outside)
        if spec.color == "grey":
            cut = np.asarray(Image.fromarray(cut).convert("L"))
        pixels[i] = cut.reshape(spec.shape)
    return pixels
