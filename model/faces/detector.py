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
STRIDES = (8, 16, 32)
_KINDS = ("cls", "obj", "bbox", "kps")
_OUTPUTS = tuple(f"{kind}_{stride}" for stride in STRIDES for kind in _KINDS)
Rows = npt.NDArray[np.float64]  # of `Detector.detect`
# Intersection over union: as OpenCV's example has it, and of rows whose points are averaged.
_SAME_FACE, _SAME_PLACE = 0.3, 0.5
# Share of a face that lies in another's box: a mouth and a chin close by are taken for a face.
_WITHIN = 0.7


class Detector(Protocol):
    """Detects faces in an image."""

    def detect(self, rgb: npt.NDArray[np.uint8], min_score: float) -> Rows:
        """All places that score at least `min_score`; a face has many: see `merged`.

        Args:
            rgb: uint8 (height, width, 3).
            min_score: 0-1.

        Returns:
            (n, 15): left, top, width, height, x and y of the five landmarks of
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

    def detect(self, rgb: npt.NDArray[np.uint8], min_score: float) -> Rows:
        """See `Detector`."""
        height, width, _ = rgb.shape
        side = STRIDES[-1]
        rows, columns = -(-height // side) * side, -(-width // side) * side
        padded = np.zeros((1, 3, rows, columns), np.float32)
        for channel in range(3):  # it wants BGR
            padded[0, 2 - channel, :height, :width] = rgb[:, :, channel]
        outputs: list[Any] = self._session.run(_OUTPUTS, {"input": padded})
        classes, objects, boxes, landmarks = (
            np.concatenate([output[0] for output in outputs[kind :: len(_KINDS)]])
            for kind in range(len(_KINDS))
        )
        scores = classes[:, 0] * objects[:, 0]
        at = np.flatnonzero(scores >= min_score**2)
        place, stride = (values[at] for values in _grid(rows, columns))
        found = np.empty((len(at), 15))
        size = np.exp(boxes[at, 2:]) * stride
        found[:, 0:2] = (place + boxes[at, :2]) * stride - size / 2
        found[:, 2:4] = size
        corners = (landmarks[at].reshape(-1, 5, 2) + place[:, None]) * stride[:, None]
        found[:, 4:14] = corners.reshape(-1, 10)
        found[:, 14] = np.sqrt(np.minimum(scores[at], 1))
        return found


@functools.lru_cache(64)
def _grid(rows: int, columns: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of each place of the outputs: column and row in its grid (n, 2), and its stride (n, 1)."""
    places, strides = list[npt.NDArray[Any]](), list[npt.NDArray[Any]]()
    for stride in STRIDES:
        y, x = np.divmod(np.arange(rows * columns // stride**2), columns // stride)
        places.append(np.stack([x, y], axis=1))
        strides.append(np.full((len(x), 1), stride))
    return np.concatenate(places).astype(float), np.concatenate(strides).astype(float)


def merged(found: Rows) -> Rows:
    """A row a face, best first: the mean of the rows that agree on it, weighted by their scores.

    Source: Bazarevsky et al.: "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
    2019, section 3.4. Taking the best row alone leaves the landmarks' jitter 2.7 times as large, as
    they depend on where the detector's grid falls (docs/decisions/009-finding-faces.md).
    """
    found = found[np.argsort(-found[:, 14], kind="stable")]
    faces = list[Rows]()
    while len(found):
        shares, within = overlaps(found[0], found)
        agreeing = found[shares >= _SAME_PLACE]
        weights = agreeing[:, 14]
        mean = weights @ agreeing / weights.sum()
        mean[14] = found[0, 14]
        faces.append(mean)
        found = found[(shares < _SAME_FACE) & (within < _WITHIN)]
    return np.array(faces).reshape(-1, 15)


def overlaps(row: Rows, others: Rows) -> tuple[Rows, Rows]:
    """How far one box overlaps others: intersection over union, and over the smaller of the two."""
    start, size = others[:, :2], others[:, 2:4]
    sides = np.minimum(row[:2] + row[2:4], start + size) - np.maximum(row[:2], start)
    both = np.clip(sides, 0, None).prod(axis=1)
    area, areas = row[2] * row[3], size.prod(axis=1)
    return both / (area + areas - both), both / np.minimum(area, areas)


def distinct_from(known: Rows, found: Rows) -> Rows:
    """Those rows of `found` that are none of the known faces."""
    for row in known:
        shares, within = overlaps(row, found)
        found = found[(shares < _SAME_FACE) & (within < _WITHIN)]
    return found


@functools.cache
def shared_detector() -> YuNet:
    """The detector of this process."""
    return YuNet()


@functools.cache
def detector_id() -> str:
    """16 hex digits of the weights' SHA-256: who found the faces."""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:16]
