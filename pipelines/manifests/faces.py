"""The faces of a manifest's images: detected while they are hashed, then given to their labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from model.faces.crops import FaceSearch
from model.faces.face import Face
from model.preprocessing import InputSpec
from pipelines.images.guarded_decoder import Decode
from pipelines.manifests.manifest import BOX
from pipelines.manifests.matching import match_labels

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


def assign(rows: pd.DataFrame, keep_whole: bool) -> pd.DataFrame:
    """Give each good row its face, or the reason why it has none: see `matching`.

    Args:
        rows: with stage, reason, found (numbers of `find`) and maybe the boxes of labels.
        keep_whole: keep a row of each image of one person as it is beside that of its face; then
            such an image is no reject where no face was detected. One of several faces or labels
            is nobody's as a whole.

    Returns:
        The rows with the face columns of the manifest instead of those.
    """
    boxes = {f"label_{name}": name for name in BOX}
    good = rows["stage"].isna()
    labels = rows.loc[good].rename(columns={"uri": "image", **boxes})
    first = labels.drop_duplicates("image")
    detected = dict(zip(first["image"], map(of_numbers, first["found"]), strict=True))
    faces = _face_rows(detected)
    matched = match_labels(faces, labels)
    columns = [*BOX, "face_landmarks", "face_score"]
    # Position -1, no face, is the last row, of nulls.
    chosen = faces.reindex([*faces.index, -1])[columns].iloc[matched["face"].to_numpy()]
    plain = rows.drop(columns=["found", *boxes], errors="ignore")
    with_faces = plain.assign(**dict.fromkeys(columns))
    with_faces.loc[good, columns] = chosen.astype(object).where(chosen.notna(), None).to_numpy()
    alone = pd.Series(False, rows.index)
    if keep_whole:
        alone[good] = labels["image"].map(lambda uri: len(detected[uri]) <= 1).astype(bool)
        alone &= ~rows["uri"].duplicated(keep=False)
    faceless = matched.index[(matched["face"] < 0) & ~alone[good]]
    with_faces.loc[faceless, "stage"] = "detect"
    with_faces.loc[faceless, "reason"] = matched.loc[faceless, "reason"]
    if not keep_whole:
        return with_faces
    plain[columns] = None
    # An image that is kept whole and shows no face has no second row.
    others = with_faces[~alone | with_faces["face_landmarks"].notna()]
    return pd.concat([plain[alone], others], ignore_index=True)


def _face_rows(detected: Mapping[str, Sequence[Face]]) -> pd.DataFrame:
    """A row for each face of each image."""
    rows = [
        (uri, face.left, face.top, face.width, face.height, [*face.points], face.score)
        for uri, faces in detected.items()
        for face in faces
    ]
    return pd.DataFrame(rows, columns=["image", *BOX, "face_landmarks", "face_score"])
