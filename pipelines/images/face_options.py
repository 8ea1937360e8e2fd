"""The options of finding faces, declared once for scoring and for ingest."""

import dataclasses
from typing import Annotated

from model.errors import UsageError
from model.faces.crops import FaceSearch

_USUAL = FaceSearch()


@dataclasses.dataclass(frozen=True)
class FaceLimits:
    """Which faces of a picture count, where faces are found."""

    least_face_score: Annotated[float, "SHARE"] = _USUAL.least_score
    """Faces of which the detector is less sure are none, 0.4 to 1."""
    least_eyes_px: Annotated[float, "PIXELS"] = _USUAL.least_eye_px
    """Faces with less from eye to eye are left out; a larger value is faster on large
    photographs."""
    most_faces: int = _USUAL.most_faces
    """Faces of a picture to keep, the largest."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: one is out of its range.
        """
        if not 0.4 <= self.least_face_score <= 1:
            raise UsageError(f"`least_face_score` {self.least_face_score:g} must be from 0.4 to 1")
        if not 1 <= self.least_eyes_px <= 10_000:
            raise UsageError(f"`least_eyes_px` {self.least_eyes_px:g} must be from 1 to 10,000")
        if not 1 <= self.most_faces <= 10_000:
            raise UsageError(f"`most_faces` {self.most_faces:,} must be from 1 to 10,000")

    @property
    def search(self) -> FaceSearch:
        """Which faces of a picture count."""
        return FaceSearch(self.least_face_score, self.least_eyes_px, self.most_faces)
