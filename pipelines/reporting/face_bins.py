"""Bins by which faces are counted and judged: how many an image, how large, how turned."""

import dataclasses
import itertools
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Bins:
    """Bins of a column.

    Attributes:
        column: of the predictions.
        title: what it is, for people.
        starts: where each bin begins; the last has no end, and what is below the first counts
            there.
        names: of the bins.
        both_sides: whether -5 counts as 5 does.
    """

    column: str
    title: str
    starts: tuple[float, ...]
    names: tuple[str, ...]
    both_sides: bool = False

    @property
    def index_sql(self) -> str:
        """DuckDB's expression for the bin of a row, from 0; null where the value is no number."""
        value = f"{self.column}::DOUBLE"
        value = f"abs({value})" if self.both_sides else value
        steps = " + ".join(f"({value} >= {start})::INT" for start in self.starts[1:])
        return f"CASE WHEN isfinite({value}) THEN {steps} END"


def _ranges(starts: Sequence[float], unit: str = "") -> tuple[str, ...]:
    """Names of bins: `under 12 px`, `12 to 16 px`, `256 px or more`."""
    pairs = itertools.pairwise(starts[1:])
    middle = (f"{start:g} to {end:g}{unit}" for start, end in pairs)
    return f"under {starts[1]:g}{unit}", *middle, f"{starts[-1]:g}{unit} or more"


_EYES_PX = (0, 12, 16, 24, 32, 48, 64, 96, 128, 256)
_SCORES = (0, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)

A_PICTURE = Bins("faces", "faces", (1, 2, 3, 6, 11), ("1", "2", "3-5", "6-10", "11+"))
EYE_DISTANCE = Bins(
    "eye_distance_px", "distance of the eyes, pixels", _EYES_PX, _ranges(_EYES_PX, " px")
)
# 45 to 135: the image lies on its side; beyond that it stands on its head.
ROLL = Bins(
    "roll_degrees", "roll to either side, degrees", (0, 5, 10, 20, 30, 45, 135),
    ("under 5°", "5 to 10°", "10 to 20°", "20 to 30°", "30 to 45°", "45 to 135°", "135° or more"),
    both_sides=True,
)  # fmt: skip
SCORE = Bins("face_score", "detector score", _SCORES, _ranges(_SCORES))
OF_FACES = (EYE_DISTANCE, ROLL, SCORE)  # those of a face, not of its image
