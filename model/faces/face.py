"""What is known of one face: its box, its five points, and how sure the detector is."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# In the order of the points; left and right are the image's, not the person's.
POINTS = ("left_eye", "right_eye", "nose", "left_mouth_corner", "right_mouth_corner")


@dataclasses.dataclass(frozen=True)
class Face:
    """A face, in pixels of the upright image, whose origin is its upper left corner.

    Attributes:
        left: of the box; below 0 where the face goes beyond the image.
        top: of the box.
        width: of the box.
        height: of the box.
        points: x and y of the five `POINTS`, one after the other.
        score: of the detector, 0-1; NaN where a person gave the points.
    """

    left: float
    top: float
    width: float
    height: float
    points: tuple[float, ...]
    score: float

    @property
    def point_array(self) -> npt.NDArray[np.float64]:
        """The five points, (5, 2)."""
        return np.array(self.points, dtype=np.float64).reshape(5, 2)

    @property
    def eye_distance_px(self) -> float:
        """Pixels from eye to eye."""
        left_x, left_y, right_x, right_y = self.points[:4]
        return float(np.hypot(right_x - left_x, right_y - left_y))

    @property
    def roll_degrees(self) -> float:
        """How far the head is rolled, -180 to 180: 0 upright, above 0 clockwise as one sees it."""
        left_x, left_y, right_x, right_y = self.points[:4]
        return float(np.degrees(np.arctan2(right_y - left_y, right_x - left_x)))

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return self.width * self.height

    def overlap(self, other: Sequence[float]) -> float:
        """Intersection over union with another box (left, top, width, height), 0-1."""
        left, top, width, height = other
        across = min(self.left + self.width, left + width) - max(self.left, left)
        down = min(self.top + self.height, top + height) - max(self.top, top)
        if across <= 0 or down <= 0:
            return 0.0
        both = across * down
        return both / (self.area + width * height - both)


def faces_of(detections: npt.NDArray[np.float64]) -> list[Face]:
    """Rows of `detector.Detector.find`, (n, 15), as faces."""
    rows: list[Any] = detections.tolist()
    return [Face(*row[:4], points=tuple(row[4:14]), score=row[14]) for row in rows]
