"""Drawn faces are labelled, repeatable and show age and gender; broken files cannot be decoded."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.drawn_faces import BREAKAGES, draw_face, draw_faces

NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d{17})\.jpg\.chip\.jpg")


def test_files_are_named_as_utkface_names_them(tmp_path: Path) -> None:
    paths = draw_faces(tmp_path, count=40, broken=6)
    assert len(set(paths)) == 46
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    matches = [NAME.fullmatch(path.name) for path in paths]
    assert all(matches)
    ages = [int(match[1]) for match in matches if match]
    assert min(ages) >= 1
    assert max(ages) <= 100
    assert len(set(ages)) > 20
    assert {match[2] for match in matches if match} == {"0", "1"}


def test_faces_are_jpegs_of_200_by_200_rgb(faces_dir: Path) -> None:
    paths = list(faces_dir.iterdir())
    assert len(paths) == 60
    for path in paths:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (200, 200))


def test_a_face_depends_on_seed_and_index_alone(tmp_path: Path) -> None:
    small = draw_faces(tmp_path / "small", count=3, seed=7)
    large = draw_faces(tmp_path / "large", count=5, seed=7)
    other = draw_faces(tmp_path / "other", count=3, seed=8)
    assert [p.name for p in small] == [p.name for p in large[:3]]
    assert [p.read_bytes() for p in small] == [p.read_bytes() for p in large[:3]]
    assert not {p.read_bytes() for p in small} & {p.read_bytes() for p in other}
    assert len({p.read_bytes() for p in large}) == 5


def test_broken_files_come_last_and_cannot_be_decoded(tmp_path: Path) -> None:
    paths = draw_faces(tmp_path, count=1, broken=2 * len(BREAKAGES))
    with Image.open(paths[0]) as image:
        image.load()
    for path in paths[1:]:
        with path.open("rb") as stream, pytest.raises(OSError):
            Image.open(stream).load()


@pytest.mark.parametrize("arguments", [{"count": -1}, {"count": 1, "broken": -1}])
def test_negative_counts_are_refused(tmp_path: Path, arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"is -1; draw_faces needs 0 or more"):
        draw_faces(tmp_path, **arguments)


def test_age_and_gender_can_be_read_off_the_pixels() -> None:
    """A ridge regression on 25x25 grey pixels beats guessing by far: the signal is there."""
    looks, images = zip(*(draw_face(0, index) for index in range(600)), strict=True)
    pixels = np.stack([np.asarray(i.convert("L").resize((25, 25)), dtype=float) for i in images])
    x = np.column_stack([pixels.reshape(600, -1) / 255 - 0.5, np.ones(600)])
    age = np.array([look.age_years for look in looks], dtype=float)
    female = np.array([look.female for look in looks], dtype=float)
    train, test = slice(0, 400), slice(400, 600)
    gram = x[train].T @ x[train] + 10 * np.eye(x.shape[1])

    def predict(target: np.ndarray) -> np.ndarray:
        return x[test] @ np.linalg.solve(gram, x[train].T @ target[train])

    assert np.mean((predict(female) > 0.5) == (female[test] > 0.5)) > 0.75
    guess = np.mean(np.abs(age[test] - np.median(age[train])))
    assert np.mean(np.abs(predict(age) - age[test])) < 0.7 * guess
