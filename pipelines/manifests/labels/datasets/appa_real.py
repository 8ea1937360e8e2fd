"""APPA-REAL (Agustsson 2017): gt_avg_train.csv, gt_avg_valid.csv and gt_avg_test.csv; real ages.

Columns file_name, num_ratings, apparent_age_avg, apparent_age_std, real_age; no gender. Beside
`000000.jpg` may lie `000000.jpg_face.jpg`, its face with a margin: these are labelled where there
are any, else the photographs. A file's name is the split of its rows.
"""

import re
from collections.abc import Collection

import pandas as pd

from pipelines.manifests.labels.datasets.kinds import InFiles, LabelFile, text_table
from pipelines.manifests.labels.telling import Told

_COLUMNS = ("file_name", "apparent_age_avg", "real_age")
_SPLITS = {"train": "train", "valid": "val", "test": "test"}


def read_ages(file: LabelFile, uris: Collection[str], column: str) -> tuple[pd.DataFrame, Told]:
    """The labels of one file, with the ages of a column.

    Raises:
        ManifestError: it is none of the data set's.
    """
    table = text_table(file, "APPA-REAL", _COLUMNS)
    has_faces = any(uri.lower().endswith("_face.jpg") for uri in uris)
    split = next((name for name in _SPLITS if name in file.name.lower()), "train")
    frame = pd.DataFrame(
        {
            "path": f"{split}/" + table["file_name"].str.strip() + ("_face.jpg" * has_faces),
            "age": table[column],
            "gender": "",
            "split": _SPLITS[split],
        }
    )
    return frame, Told()


def _read(file: LabelFile, uris: Collection[str]) -> tuple[pd.DataFrame, Told]:
    return read_ages(file, uris, "real_age")


DATASET = InFiles(
    "APPA-REAL",
    "gt_avg_train.csv",
    re.compile(r"gt_avg_(train|valid|test)\.csv", re.IGNORECASE),
    (*_COLUMNS, "num_ratings", "apparent_age_std"),
    _read,
)
