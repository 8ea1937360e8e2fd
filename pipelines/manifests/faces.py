"""Which face of a picture its labels belong to; bystanders never inherit one.

A label that comes with a box belongs to the face that overlaps it best, and no face to two of
them: the one that fits it best has it. A label of a whole picture belongs to its largest face, if
no other is of like size.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from model.faces.crops import FaceSearch
from model.faces.face import Face
from model.preprocessing import InputSpec
from pipelines.images.guarded_decoder import Decode
from pipelines.manifests.manifest import BOX

LEAST_OVERLAP = 0.3  # intersection over union of a label's box and the face that was found
CLEARLY_LARGER = 2.0  # times the area of the second largest face
NONE_IN_THE_BOX = "no face was found where the label's box is"
ANOTHER_S = "the face where the label's box is belongs to another label, which fits it better"
_TINY = InputSpec(8, 8, "grey")  # only the places of the faces are wanted here
_ROW = 15  # numbers a face: box, points, score


def find(data: bytes, decode: Decode, search: FaceSearch) -> list[float]:
    """The faces of a picture, 15 numbers each, largest first.

    Raises:
        DecodeError: it cannot be decoded.
    """
    faces = decode(data, _TINY, search).faces or ()
    return [
        number
        for face in faces
        for number in (face.left, face.top, face.width, face.height, *face.points, face.score)
    ]


def of_numbers(numbers: Sequence[float] | None) -> list[Face]:
    """The faces of which `find` gave the numbers."""
    rows: Any = np.reshape(np.asarray(numbers if numbers is not None else [], float), (-1, _ROW))
    return [Face(*row[:4], points=tuple(row[4:14]), score=row[14]) for row in rows.tolist()]


def main_face(faces: Sequence[Face]) -> Face | str:
    """The face that the labels of a whole picture belong to, or why none does."""
    if not faces:
        return "no face was found in it"
    areas = sorted((face.area for face in faces), reverse=True)
    if len(areas) > 1 and areas[0] < CLEARLY_LARGER * areas[1]:
        return f"it shows {len(faces)} faces, the largest not clearly larger: whose are the labels?"
    return max(faces, key=lambda face: face.area)


def overlapping(faces: Sequence[Face], box: Sequence[float]) -> Face | str:
    """The face that a labelled box shows, or why there is none."""
    best = max(faces, key=lambda face: face.overlap(box), default=None)
    if best is None or best.overlap(box) < LEAST_OVERLAP:
        return NONE_IN_THE_BOX
    return best


def assign(rows: pd.DataFrame, keep_whole: bool) -> pd.DataFrame:
    """Give each good row its face, or the reason why it has none.

    Args:
        rows: with stage, reason, found (numbers of `find`) and maybe the boxes of labels.
        keep_whole: keep a row of each picture of one person as it is beside that of its face; then
            such a picture is no reject where no face was found. One of several faces or labels
            is nobody's as a whole.

    Returns:
        The rows with the face columns of the manifest instead of those.
    """
    boxes = [f"label_{name}" for name in BOX]
    has_boxes = set(boxes) <= set(rows.columns)
    good = rows["stage"].isna()
    records: list[dict[str, Any]] = []
    claims: dict[tuple[str, Face], list[tuple[float, int]]] = {}
    labelled: Any = rows.loc[good, boxes].to_numpy(float) if has_boxes else np.nan
    labelled = np.broadcast_to(labelled, (int(good.sum()), len(BOX)))
    is_alone = ~rows["uri"].duplicated(keep=False) if keep_whole else pd.Series(False, rows.index)
    for index, numbers, box in zip(
        rows.index[good], rows.loc[good, "found"], labelled.tolist(), strict=True
    ):
        faces = of_numbers(numbers)
        is_alone[index] &= len(faces) <= 1
        face = main_face(faces) if np.isnan(box).any() else overlapping(faces, box)
        if isinstance(face, str):
            records.append({"stage": None if is_alone[index] else "find", "reason": face})
        else:
            records.append({
                "face_left": face.left, "face_top": face.top, "face_width": face.width,
                "face_height": face.height, "face_points": list(face.points),
                "face_score": face.score,
            })  # fmt: skip
            if not np.isnan(box).any():
                claims.setdefault((str(rows.at[index, "uri"]), face), []).append(
                    (face.overlap(box), len(records) - 1)
                )
    for claimed in claims.values():
        for _, lost in sorted(claimed, key=lambda one: -one[0])[1:]:
            records[lost] = {"stage": "find", "reason": ANOTHER_S}
    columns = ["stage", "reason", *BOX, "face_points", "face_score"]
    told = pd.DataFrame(records, index=rows.index[good], columns=columns).astype(object)
    told = told.where(told.notna(), None)
    plain = rows.drop(columns=["found", *(boxes if has_boxes else [])])
    with_faces = plain.copy()
    for name in columns:
        with_faces[name] = plain.get(name)
        with_faces.loc[good, name] = told[name]
    if not keep_whole:
        return with_faces
    is_whole = is_alone & good
    plain[[*BOX, "face_points", "face_score"]] = None
    # A picture that is kept whole and shows no face has no second row.
    others = with_faces[~is_whole | with_faces["face_points"].notna()]
    return pd.concat([plain[is_whole], others], ignore_index=True)
