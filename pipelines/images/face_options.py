"""The options of face detection, declared once for scoring, evaluation and ingest."""

import dataclasses
from typing import Annotated, ClassVar

from model.errors import UsageError
from model.faces.crops import FaceSearch
from pipelines.configuration import ADVANCED, Renamed

_USUAL = FaceSearch()


@dataclasses.dataclass(frozen=True)
class FaceLimits:
    """Which detected faces count."""

    RENAMED: ClassVar = (
        Renamed(("least_face_score",), "min_face_score"),
        Renamed(("least_eyes_px",), "min_eye_distance_px"),
        Renamed(("most_faces",), "max_faces"),
    )

    min_face_score: Annotated[float, "SHARE"] = _USUAL.min_score
    """Discard faces below this detector score, 0.4 to 1."""
    min_eye_distance_px: Annotated[float, "PIXELS", ADVANCED] = _USUAL.min_eye_distance_px
    """Discard faces with fewer pixels from eye to eye; a larger value is faster on large
    photos."""
    max_faces: Annotated[int, "N", ADVANCED] = _USUAL.max_faces
    """Keep at most this many faces of an image, the largest."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: one is out of its range.
        """
        if not 0.4 <= self.min_face_score <= 1:
            raise UsageError(f"`min_face_score` {self.min_face_score:g} must be from 0.4 to 1")
        if not 1 <= self.min_eye_distance_px <= 10_000:
            raise UsageError(
                f"`min_eye_distance_px` {self.min_eye_distance_px:g} must be from 1 to 10,000"
            )
        if not 1 <= self.max_faces <= 10_000:
            raise UsageError(f"`max_faces` {self.max_faces:,} must be from 1 to 10,000")

    @property
    def search(self) -> FaceSearch:
        """Which faces of an image count."""
        return FaceSearch(self.min_face_score, self.min_eye_distance_px, self.max_faces)
