"""FairFace (Karkkainen & Joo 2021): fairface_label_train.csv and fairface_label_val.csv.

Columns file, age, gender, race, service_test. `file` is `train/1.jpg`; ages are nine ranges, `0-2`
to `60-69` and `more than 70`, in which 70 is meant too. Its seven races are those of the label
space as UTKFace has them: East and Southeast Asian are asian; Latino_Hispanic and Middle Eastern
are other. The folder in `file` is its split.
"""

import re
from collections.abc import Collection

import pandas as pd

from pipelines.manifests.labels.datasets.kinds import InFiles, LabelFile, text_table
from pipelines.manifests.labels.telling import Told

_COLUMNS = ("file", "age", "gender", "race")
_RACES = {
    "east asian": "asian", "southeast asian": "asian", "latino_hispanic": "other",
    "middle eastern": "other",
}  # fmt: skip


def _read(file: LabelFile, uris: Collection[str]) -> tuple[pd.DataFrame, Told]:
    table = text_table(file, DATASET.title, _COLUMNS)
    races = table["race"].str.strip()
    frame = pd.DataFrame(
        {
            "path": table["file"],
            "age": table["age"].replace("more than 70", "70+"),
            "gender": table["gender"],
            "race": races.str.lower().map(_RACES).fillna(races),
            "split": table["file"].str.replace("\\", "/").str.split("/").str[-2],
        }
    )
    return frame, Told()


DATASET = InFiles(
    "FairFace",
    "fairface_label_train.csv",
    re.compile(r"fairface_label_\w+\.csv", re.IGNORECASE),
    (*_COLUMNS, "service_test"),
    _read,
)
