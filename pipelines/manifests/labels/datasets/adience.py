"""Adience (Eidinger 2014): fold_0_data.txt to fold_4_data.txt, and fold_frontal_0_data.txt, ….

Separated by tabs: user_id, original_image, face_id, age, gender, x, y, dx, dy and more. The picture
of a row is `USER/coarse_tilt_aligned_face.FACE.ORIGINAL` in faces/, likewise
`landmark_aligned_face.` in aligned/, or ORIGINAL among the photographs, where x, y, dx, dy is the
box of the face. Ages are `(25, 32)`, some one number, some None; gender is m, f, u (unknown) or
empty. Nobody is in two folds, so these give the split: folds 0 to 2 train, 3 val, 4 test.
"""

import re
from collections.abc import Collection

import pandas as pd

from pipelines.manifests.labels.datasets.kinds import InFiles, LabelFile, text_table
from pipelines.manifests.labels.telling import Told

_COLUMNS = ("user_id", "original_image", "face_id", "age", "gender")
_BOX = ("x", "y", "dx", "dy")
_CROPS = ("coarse_tilt_aligned_face", "landmark_aligned_face")
_SPLITS = {"0": "train", "1": "train", "2": "train", "3": "val", "4": "test"}


def _read(file: LabelFile, uris: Collection[str]) -> tuple[pd.DataFrame, Told]:
    table = text_table(file, DATASET.title, _COLUMNS)
    crop = next((c for c in _CROPS if any(f"/{c}." in uri for uri in uris)), None)
    folder = table["user_id"].str.strip() + "/"
    if crop is None:
        path = folder + table["original_image"]
    else:
        path = folder + f"{crop}." + table["face_id"].str.strip() + "." + table["original_image"]
    age = table["age"].str.strip()
    gender = table["gender"].str.strip()
    fold = re.search(r"\d", file.name)
    frame = pd.DataFrame(
        {
            "path": path,
            "age": age.mask(age.str.lower() == "none", ""),
            "gender": gender.mask(gender.str.lower().isin(["u", "none"]), ""),
            "split": _SPLITS.get(fold[0] if fold else "", "train"),
        }
    )
    if crop is None and set(_BOX) <= set(table.columns):  # a box means places in the photograph
        frame[list(_BOX)] = table[list(_BOX)]
    return frame, Told()


DATASET = InFiles(
    "Adience",
    "fold_0_data.txt",
    re.compile(r"fold_(frontal_)?[0-4]_data\.txt", re.IGNORECASE),
    _COLUMNS,
    _read,
)
