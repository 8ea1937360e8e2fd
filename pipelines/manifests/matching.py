"""The one rule that says which face a label belongs to, for ingest, evaluate and report.

A label with a box belongs to the face that overlaps it most, and a face to the label that overlaps
it most: no face has two labels. A label without a box belongs to the largest face of its image, if
that is the only one or clearly larger than the second; bystanders never inherit a label. Where an
image has labels with boxes, its labels without one do not count; of several labels without a box
none counts, as nobody knows whom each of them means.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.manifests.manifest import BOX

MIN_OVERLAP = 0.3  # intersection over union of a label's box and a detected face
CLEARLY_LARGER = 2.0  # times the area of the second largest face

NO_FACE = "no face was detected in the image"
NO_FACE_IN_BOX = "no face was detected where the label's box is"
FACE_TAKEN = "the face in the label's box belongs to another label, which fits it better"
NONE_LARGEST = "the image shows several faces, none of them clearly the largest"
SEVERAL_LABELS = "several labels of one image, and no box says which face each of them means"


def match_labels(faces: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Match each label with its face.

    Args:
        faces: `image`, what identifies the image, and the columns of `BOX` in pixels of the upright
            image: all faces of each image that has a label.
        labels: `image`, and maybe the columns of `BOX`, NaN where a label has no box.

    Returns:
        A row for each label, with its index: `face`, the position of its face in `faces` or -1, and
        `reason`, why it has none, or ''.
    """
    boxes: Any = labels.reindex(columns=list(BOX)).to_numpy(float)
    boxed = ~np.isnan(boxes).any(axis=1)
    image: Any = labels["image"].to_numpy()
    face = np.full(len(labels), -1)
    reason = np.full(len(labels), "", dtype=object)

    with_box, without = np.flatnonzero(boxed), np.flatnonzero(~boxed)
    face[with_box], reason[with_box] = _by_box(faces, image[with_box], boxes[with_box])
    main, why = _main_faces(faces)
    of_image = pd.Series(image[without], dtype=object)
    face[without] = [main.get(name, -1) for name in of_image]
    reason[without] = [why.get(name, NO_FACE) for name in of_image]
    several = of_image.duplicated(keep=False).to_numpy() | of_image.isin(image[with_box]).to_numpy()
    face[without[several]], reason[without[several]] = -1, SEVERAL_LABELS
    return pd.DataFrame({"face": face, "reason": reason}, index=labels.index)


def _by_box(
    faces: pd.DataFrame, image: npt.NDArray[Any], boxes: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """The faces of labels with a box, and why some have none."""
    face, reason = np.full(len(image), -1), np.full(len(image), NO_FACE_IN_BOX, dtype=object)
    reason[~np.isin(image, faces["image"].to_numpy())] = NO_FACE
    pairs: Any = pd.DataFrame({"image": image, "label": np.arange(len(image))}).merge(
        pd.DataFrame({"image": faces["image"].to_numpy(), "face": np.arange(len(faces))}),
        on="image",
    )
    detected: Any = faces[list(BOX)].to_numpy(float)
    pairs["overlap"] = overlap(detected[pairs["face"]], boxes[pairs["label"]])
    pairs = pairs[pairs["overlap"] >= MIN_OVERLAP]
    # A label wants its best face alone; of the labels that want one face the best fitting has it.
    pairs = pairs.sort_values("overlap", ascending=False, kind="stable").drop_duplicates("label")
    won = pairs.drop_duplicates("face")
    reason[pairs["label"]] = FACE_TAKEN
    face[won["label"]], reason[won["label"]] = won["face"], ""
    return face, reason


def overlap(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes, 0-1; both (n, 4): left, top, width, height."""
    start = np.maximum(first[:, :2], second[:, :2])
    end = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    both = np.maximum(end - start, 0).prod(axis=1)
    return both / (first[:, 2:].prod(axis=1) + second[:, 2:].prod(axis=1) - both)


def _main_faces(faces: pd.DataFrame) -> tuple[dict[Any, int], dict[Any, str]]:
    """By image: the position of the face that a label without a box means or -1, and why none."""
    area: Any = faces["face_width"].to_numpy(float) * faces["face_height"].to_numpy(float)
    ranked: Any = pd.DataFrame(
        {"image": faces["image"].to_numpy(), "area": area, "face": np.arange(len(faces))}
    ).sort_values("area", ascending=False, kind="stable")
    second = ranked.groupby("image", sort=False)["area"].nth(1)
    second.index = ranked["image"].loc[second.index]
    first = ranked.drop_duplicates("image").set_index("image")
    clear = first["area"] >= CLEARLY_LARGER * second.reindex(first.index, fill_value=0.0)
    main = dict(first["face"].where(clear, -1))
    return main, {image: "" if face >= 0 else NONE_LARGEST for image, face in main.items()}
