"""Labels and faces: the labelled face, and never a bystander."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from demo.drawn_faces import draw_face
from model.preprocessing import InputSpec
from pipelines.images.decoding import decode_manifest
from pipelines.images.face_options import FaceLimits
from pipelines.manifests.ingest import Ingested, ingest
from pipelines.manifests.manifest import fingerprint, labelled, of_kind
from pipelines.manifests.matching import (
    FACE_TAKEN,
    NO_FACE,
    NO_FACE_IN_BOX,
    NONE_LARGEST,
)
from pipelines.manifests.options import IngestOptions
from pipelines.manifests.sources.rows import Rows

LOOSE = FaceLimits(min_face_score=0.4)  # drawn faces are sure ones, but not all


def scene(path: Path, *places: tuple[int, int, int]) -> None:
    """A picture of drawn faces at (left, top, side)."""
    canvas = Image.new("RGB", (900, 600), (120, 140, 120))
    for index, (left, top, side) in enumerate(places):
        face = draw_face(seed=1, index=index)[1].convert("RGB").resize((side, side))
        canvas.paste(face, (left, top))
    canvas.save(path, quality=92)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    scene(folder / "alone.jpg", (60, 60, 300))
    scene(folder / "with_a_child.jpg", (60, 60, 360), (600, 300, 120))
    scene(folder / "couple.jpg", (60, 100, 260), (500, 100, 260))
    scene(folder / "nobody.jpg")
    return folder


def of(folder: Path, labels: pd.DataFrame, **options: Any) -> Ingested:
    labels.to_csv(folder.parent / "labels.csv", index=False)
    file = str(folder.parent / "labels.csv")
    return ingest(IngestOptions(str(folder), labels=file, detection=LOOSE, **options))


def names(result: Any) -> list[str]:
    return sorted(Path(uri).name for uri in result["uri"].to_pylist())


def test_of_a_labelled_photograph_the_largest_face_is_learned_from(
    photographs: Path, ray_session: None
) -> None:
    files = ["alone.jpg", "with_a_child.jpg", "couple.jpg", "nobody.jpg"]
    labels = pd.DataFrame({"path": files, "age": [30, 40, 50, 60], "gender": ["male"] * 4})
    found = of(photographs, labels, faces="detect")
    assert names(found.table) == ["alone.jpg", "with_a_child.jpg"]
    rows = {Path(row["uri"]).name: row for row in found.table.to_pylist()}
    assert rows["with_a_child.jpg"]["face_left"] < 400
    assert rows["with_a_child.jpg"]["face_width"] > 120
    assert len(rows["alone.jpg"]["face_landmarks"]) == 10
    why = {
        Path(row["uri"]).name: (row["stage"], row["reason"]) for row in found.rejects.to_pylist()
    }
    assert why["nobody.jpg"] == ("detect", NO_FACE)
    assert why["couple.jpg"] == ("detect", NONE_LARGEST)


def test_boxes_of_other_data_sets_label_each_face_by_itself(
    photographs: Path, ray_session: None
) -> None:
    boxes = pd.DataFrame({
        "path": ["couple.jpg", "couple.jpg", "couple.jpg"], "age": [20, 60, 5],
        "gender": ["female", "male", "male"], "face_x0": [110, 550, 400],
        "face_y0": [150, 150, 500], "face_x1": [270, 710, 440], "face_y1": [320, 320, 560],
    })  # fmt: skip
    found = of(photographs, boxes, faces="detect")
    rows = sorted(found.table.to_pylist(), key=lambda row: row["face_left"])
    assert [(row["age_years"], row["gender"]) for row in rows] == [(20, "female"), (60, "male")]
    assert len({row["split"] for row in rows}) == 1  # two faces of one picture, never in two splits
    assert not any(row["label_conflict"] for row in rows)  # nor duplicates that contradict
    reasons = [row["reason"] for row in found.rejects.to_pylist()]
    assert NO_FACE_IN_BOX in reasons
    assert Rows("m", found.table).table.num_rows == 2
    (pictures,) = Rows("m", found.table).parts()
    assert pictures.num_rows == 1  # scoring looks at a picture once
    told = of(photographs, boxes).counts["label_values"]
    assert told == {"files_with_several_faces": 1}  # as a whole it has the label of the first


def test_a_face_that_two_boxes_mean_has_the_label_of_the_one_that_fits_it_better(
    photographs: Path, ray_session: None
) -> None:
    boxes = pd.DataFrame({
        "path": ["alone.jpg", "alone.jpg"], "age": [20, 60], "gender": ["female", "male"],
        "face_x0": [150, 115], "face_y0": [115, 115], "face_x1": [400, 320],
        "face_y1": [330, 320],
    })  # fmt: skip
    found = of(photographs, boxes, faces="detect")
    assert found.table["age_years"].to_pylist() == [60]
    assert found.rejects["reason"].to_pylist().count(FACE_TAKEN) == 1


def test_both_keeps_a_row_of_the_picture_beside_that_of_its_face(
    photographs: Path, ray_session: None
) -> None:
    labels = pd.DataFrame(
        {"path": ["alone.jpg", "nobody.jpg"], "age": [30, 40], "gender": ["male"] * 2}
    )
    found = of(photographs, labels, faces="both")
    assert names(found.table) == ["alone.jpg", "alone.jpg", "nobody.jpg"]
    assert names(of_kind(found.table, "detect")) == ["alone.jpg"]
    assert names(of_kind(found.table, "crop")) == ["alone.jpg", "nobody.jpg"]
    whole = of(photographs, labels, faces="crop")
    assert fingerprint(of_kind(found.table, "crop")) == fingerprint(whole.table)
    assert fingerprint(found.table) != fingerprint(whole.table)


def test_a_picture_of_several_people_is_nobody_s_as_a_whole(
    photographs: Path, ray_session: None
) -> None:
    boxes = pd.DataFrame({
        "path": ["couple.jpg", "couple.jpg", "with_a_child.jpg"], "age": [20, 60, 40],
        "gender": ["female", "male", "male"], "face_x0": [110, 550, None],
        "face_y0": [150, 150, None], "face_x1": [270, 710, None], "face_y1": [320, 320, None],
    })  # fmt: skip
    found = of(photographs, boxes, faces="both")
    assert names(found.table) == ["couple.jpg", "couple.jpg", "with_a_child.jpg"]
    assert found.table["face_landmarks"].null_count == 0


def test_decoding_a_row_with_points_gives_its_face_aligned(
    photographs: Path, ray_session: None
) -> None:
    labels = pd.DataFrame({"path": ["alone.jpg"], "age": [30], "gender": ["male"]})
    rows = labelled(of(photographs, labels, faces="both").table, None)
    decoded = decode_manifest(rows, InputSpec(96, 96, "rgb", "bilinear"))
    whole, aligned = decoded.pixels.astype(int)
    if rows["face_landmarks"][0].as_py() is not None:
        whole, aligned = aligned, whole
    background = np.array([120, 140, 120])
    assert (abs(whole - background).max(axis=2) < 12).mean() > 0.5  # mostly what is around it
    assert (abs(aligned - background).max(axis=2) < 12).mean() < 0.1
