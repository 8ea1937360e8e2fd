"""YuNet, the face detector, on ONNX Runtime.

Source: Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research
2023; weights `face_detection_yunet_2023mar.onnx` of the OpenCV model zoo (MIT, see
yunet_LICENSE.txt), trained on WIDER FACE. In our copy the input may have any height and width;
nothing else was changed. OpenCV's own class for it computes the same, in three times the time
(docs/decisions/009-finding-faces.md).
"""

import functools
import hashlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

WEIGHTS = Path(__file__).with_name("yunet_2023mar.onnx")
_STRIDES = (8, 16, 32)
_OUTPUTS = tuple(
    f"{kind}_{stride}" for stride in _STRIDES for kind in ("cls", "obj", "bbox", "kps")
)
# Intersection over union: as OpenCV's example has it, and of rows whose points are averaged.
_SAME_FACE, _SAME_PLACE = 0.3, 0.5
# Share of a face that lies in another's box: a mouth and a chin close by are taken for a face.
_WITHIN = 0.7


class Detector(Protocol):
    """Finds faces in an image."""

    def find(self, rgb: npt.NDArray[np.uint8], min_score: float) -> npt.NDArray[np.float64]:
        """Find all places that score at least `min_score`; a face has many: see `merged`.

        Args:
            rgb: uint8 (height, width, 3).
            min_score: 0-1.

        Returns:
            (n, 15): left, top, width, height, x and y of the five points of
            `face.POINTS`, score; pixels of `rgb`.
        """
        ...


class YuNet:
    """The detector; a session of ONNX Runtime on one thread."""

    def __init__(self) -> None:
        """Load the weights."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            str(WEIGHTS), options, providers=["CPUExecutionProvider"]
        )

    def find(self, rgb: npt.NDArray[np.uint8], min_score: float) -> npt.NDArray[np.float64]:
        """See `Detector`."""
        height, width, _ = rgb.shape
        side = _STRIDES[-1]
        padded = np.zeros((1, 3, -(-height // side) * side, -(-width // side) * side), np.float32)
        padded[0, :, :height, :width] = rgb[:, :, ::-1].transpose(2, 0, 1)  # it wants BGR
        outputs: list[Any] = self._session.run(_OUTPUTS, {"input": padded})
        columns = padded.shape[3]
        found = [
            _read_out(outputs[4 * i : 4 * i + 4], stride, columns // stride, min_score)
            for i, stride in enumerate(_STRIDES)
        ]
        return np.concatenate(found)


def _read_out(
    outputs: list[Any], stride: int, columns: int, least: float
) -> npt.NDArray[np.float64]:
    """Rows of `Detector.find` of one stride: a place of its grid each."""
    classes, objects, boxes, points = outputs
    scores = np.sqrt(np.clip(classes[0, :, 0], 0, 1) * np.clip(objects[0, :, 0], 0, 1))
    at = np.flatnonzero(scores >= least)
    place = np.stack([at % columns, at // columns], axis=1)
    centre = (place + boxes[0, at, :2]) * stride
    size = np.exp(boxes[0, at, 2:]) * stride
    corners = (points[0, at].reshape(-1, 5, 2) + place[:, None]) * stride
    columns_of = [centre - size / 2, size, corners.reshape(-1, 10), scores[at, None]]
    return np.concatenate(columns_of, axis=1).astype(np.float64)


def merged(found: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A row a face, best first: the mean of the rows that agree on it, weighted by their scores.

    Source: Bazarevsky et al.: "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
    2019, section 3.4. Taking the best row alone leaves the points' jitter 2.7 times as large, as
    they depend on where the detector's grid falls (docs/decisions/009-finding-faces.md).
    """
    found = found[np.argsort(-found[:, 14], kind="stable")]
    start, end = found[:, :2], found[:, :2] + found[:, 2:4]
    area: npt.NDArray[np.float64] = found[:, 2:4].prod(axis=1)
    waiting, faces = np.arange(len(found)), [np.empty((0, 15))]
    while len(waiting):
        best = waiting[0]
        sides = np.minimum(end[best], end[waiting]) - np.maximum(start[best], start[waiting])
        both = np.clip(sides, 0, None).prod(axis=1)
        overlap = both / (area[best] + area[waiting] - both)
        within = both / np.minimum(area[best], area[waiting])
        agreeing = found[waiting[overlap >= _SAME_PLACE]]
        mean = np.average(agreeing[:, :14], axis=0, weights=agreeing[:, 14])
        faces.append(np.append(mean, found[best, 14])[None])
        waiting = waiting[(overlap < _SAME_FACE) & (within < _WITHIN)]
    return np.concatenate(faces)


@functools.cache
def shared_detector() -> YuNet:
    """The detector of this process."""
    return YuNet()


@functools.cache
def detector_id() -> str:
    """16 hex digits of the weights' SHA-256: who found the faces."""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:16]
