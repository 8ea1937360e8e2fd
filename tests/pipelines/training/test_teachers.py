"""What several teachers say of a picture."""

from typing import Any

import numpy as np

from pipelines.training.teachers import Teachers


class Teacher:
    """Says what it was told to, and keeps the shapes that it was shown."""

    def __init__(self, side: int, **said: float) -> None:
        self.input_shape, self.said, self.shown = (None, side, side, 3), said, list[Any]()

    def __call__(self, images: Any, training: bool) -> dict[str, float]:
        assert not training
        self.shown.append(tuple(images.shape))
        return self.said


def test_a_head_is_taught_by_the_teachers_that_have_it_and_each_sees_its_own_size() -> None:
    teachers = Teachers([], "float32")
    images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    assert teachers(images) == {}
    teachers.networks = [Teacher(8, age=10.0, race=1.0), Teacher(6, age=20.0, gender=0.5)]
    assert teachers(images) == {"age": 15.0, "race": 1.0, "gender": 0.5}
    assert [teacher.shown for teacher in teachers.networks] == [[(2, 8, 8, 3)], [(2, 6, 6, 3)]]
