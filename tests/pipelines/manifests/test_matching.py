"""One rule says which face a label belongs to: never a bystander, never two labels of one face."""

import numpy as np
import pandas as pd
import pytest

from pipelines.manifests.manifest import BOX
from pipelines.manifests.matching import (
    FACE_TAKEN,
    NO_FACE,
    NO_FACE_IN_BOX,
    NONE_LARGEST,
    SEVERAL_LABELS,
    match_labels,
)

Box = tuple[float, float, float, float]


def rows(*boxes: tuple[str, Box | None]) -> pd.DataFrame:
    nothing = (np.nan,) * 4
    return pd.DataFrame(
        [(image, *(box or nothing)) for image, box in boxes], columns=["image", *BOX]
    )


def square(left: float, side: float = 100) -> Box:
    return (left, 0, side, side)


def matched(faces: pd.DataFrame, labels: pd.DataFrame) -> list[tuple[int, str]]:
    result = match_labels(faces, labels)
    return list(zip(result["face"].tolist(), result["reason"].tolist(), strict=True))


TWO = rows(("a", square(0)), ("a", square(200)))


def test_a_label_with_a_box_belongs_to_the_face_that_overlaps_it_most() -> None:
    near = rows(("a", square(0)), ("a", square(40)))
    assert matched(near, rows(("a", square(30)), ("a", square(2)))) == [(1, ""), (0, "")]
    assert matched(TWO, rows(("a", square(205)), ("a", square(500)))) == [
        (1, ""),
        (-1, NO_FACE_IN_BOX),
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_labels_of_one_face_the_better_fitting_one_has_it(order: int) -> None:
    labels = rows(("a", square(0)), ("a", square(50)))[::order]  # overlaps of 1 and of 1/3
    expected = [(0, ""), (-1, FACE_TAKEN)][::order]
    assert matched(rows(("a", square(0))), labels) == expected


def test_a_label_without_a_box_means_the_clearly_largest_face_and_no_bystander() -> None:
    faces = rows(
        ("alone", square(0)), ("child", square(300, 50)), ("child", square(0)),
        ("couple", square(0)), ("couple", square(300, 95)),
    )  # fmt: skip
    labels = rows(("alone", None), ("child", None), ("couple", None), ("nobody", None))
    assert matched(faces, labels) == [(0, ""), (2, ""), (-1, NONE_LARGEST), (-1, NO_FACE)]


def test_several_labels_without_a_box_mean_nobody() -> None:
    faces = rows(("a", square(0)), ("b", square(0)))
    assert matched(faces, rows(("a", None), ("a", None), ("b", None))) == [
        (-1, SEVERAL_LABELS),
        (-1, SEVERAL_LABELS),
        (1, ""),
    ]


def test_beside_labels_with_boxes_one_without_means_nobody() -> None:
    assert matched(TWO, rows(("a", None), ("a", square(0)))) == [(-1, SEVERAL_LABELS), (0, "")]


def test_images_do_not_share_faces_and_no_label_is_no_row() -> None:
    faces = rows(("a", square(0)))
    assert matched(faces, rows(("b", square(0)))) == [(-1, NO_FACE)]
    assert matched(faces, rows()) == []
    assert matched(rows(), rows(("a", square(0)), ("a", None))) == [
        (-1, NO_FACE),
        (-1, SEVERAL_LABELS),
    ]
