"""What teachers say, and what was said before."""

import numpy as np
import numpy.typing as npt

from pipelines.training.teachers import with_stored


def _column(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)[:, None]


def test_stored_answers_and_the_teachers_are_averaged_and_one_alone_stands() -> None:
    said = {"gender": _column(0.2, 0.4, 0.6), "race": _column(1, 2, 3)}
    stored = {"gender": _column(0.4, np.nan, 0.2), "age": _column(np.nan, 3, 4)}
    both = with_stored(said, stored)
    assert np.allclose(np.asarray(both["gender"])[:, 0], [0.3, 0.4, 0.4])
    assert both["race"] is said["race"]
    assert both["age"] is stored["age"]
    assert with_stored({}, {}) == {}
