"""Which face of a picture a label belongs to; bystanders never inherit one.

A label with a box belongs to the face that overlaps it best. A label of a picture belongs to its
largest face, if that is the only one or clearly larger than the second.
"""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from pipelines.manifests.faces import CLEARLY_LARGER, LEAST_OVERLAP, NONE_IN_THE_BOX
from pipelines.manifests.manifest import BOX

NONE_CLEARLY_LARGEST = "the picture shows several faces, none of them clearly the largest"
_LABEL = "label_"  # before the label's columns that faces have too


def labels_of_pictures(known: pd.DataFrame) -> pd.DataFrame:
    """The labels that count where pictures were taken whole: one a key, or none."""
    if not has_boxes(known):
        return known.drop_duplicates("key", keep=False)
    boxed = known[BOX[0]].notna()
    of_whole = known[~boxed]
    return pd.concat(
        [of_whole, known[boxed & ~known["key"].isin(of_whole["key"])]]
    ).drop_duplicates("key", keep=False)


def labels_of_faces(known: pd.DataFrame) -> pd.DataFrame:
    """The labels that count where faces were found: those with a box, else one a key, or none."""
    if not has_boxes(known):
        return known.drop_duplicates("key", keep=False)
    boxed = known[BOX[0]].notna()
    with_boxes = known[boxed]
    rest = known[~boxed & ~known["key"].isin(with_boxes["key"])]
    return pd.concat([with_boxes, rest.drop_duplicates("key", keep=False)])


def has_boxes(known: pd.DataFrame) -> bool:
    """Whether labels may come with the box of a face."""
    return set(BOX) <= set(known.columns)


def assign(faces: pd.DataFrame, known: pd.DataFrame) -> tuple[pd.DataFrame, Counter[str]]:
    """Give each label its face.

    Args:
        faces: rows of predictions: all faces of the labelled pictures, with the labels' `key`.
        known: labels with `key`, of `labels_of_faces`.

    Returns:
        The faces that have a label, each once, beside it; and how many labels have no face, by
        reason.
    """
    faces = faces.drop_duplicates(["uri", "face"]).sort_values(["uri", "face"])
    boxes = {name: _LABEL + name for name in BOX}
    labels = known.drop(columns="uri").rename(columns=boxes)
    if not has_boxes(known):
        labels[list(boxes.values())] = np.nan
    labels["label"] = np.arange(len(labels))
    pairs = faces.merge(labels, on="key")
    boxed = pairs[_LABEL + BOX[0]].notna()
    of_whole = pairs[~boxed & pairs["uri"].isin(_with_a_main_face(faces)) & (pairs["face"] == 0)]
    of_box = _best(pairs[boxed])
    without: Counter[str] = Counter()
    for reason, tried, found in (
        (NONE_CLEARLY_LARGEST, pairs[~boxed], of_whole),
        (NONE_IN_THE_BOX, pairs[boxed], of_box),
    ):
        if missing := tried["label"].nunique() - len(found):
            without[reason] = missing
    rows = pd.concat([of_whole, of_box]).drop(columns=["key", "label", *boxes.values()])
    return rows.sort_values(["uri", "face"]).reset_index(drop=True), without


def _with_a_main_face(faces: pd.DataFrame) -> Any:
    """The pictures of which the largest face is the only one, or clearly the largest."""
    area = faces["face_width"] * faces["face_height"]
    first, second = (
        faces.assign(area=area)[faces["face"] == number].set_index("uri") for number in (0, 1)
    )
    # A second face that is not among the rows compares as false.
    larger = first["area"] >= CLEARLY_LARGER * second["area"].reindex(first.index)
    return first.index[(first["faces"] == 1) | larger]


def _best(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pair of largest overlap of each label; a face goes to the label that overlaps it most."""
    face, label = (
        [pairs[prefix + name].to_numpy(float) for name in BOX] for prefix in ("", _LABEL)
    )
    sides = list[Any]()
    for start, size in ((0, 2), (1, 3)):
        ends = np.minimum(face[start] + face[size], label[start] + label[size])
        sides.append(np.maximum(0, ends - np.maximum(face[start], label[start])))
    both = sides[0] * sides[1]
    overlap = both / (face[2] * face[3] + label[2] * label[3] - both)
    ranked = pairs.assign(overlap=overlap).sort_values("overlap", ascending=False, kind="stable")
    ranked = ranked[ranked["overlap"] >= LEAST_OVERLAP].drop_duplicates("label")
    return ranked.drop_duplicates(["uri", "face"]).drop(columns="overlap")
