"""LAGENDA (Kuprashevich & Tolstykh 2023): photographs, a row a person, faces by their boxes.

Columns img_name, age, gender, face_x0, face_y0, face_x1, face_y1, person_x0, …: two corners in
pixels from 0; -1 where something is not known, gender M or F. A person whose face has no box is
left out, since nothing says which face the label means.
"""

import re
from collections.abc import Collection

import pandas as pd

from pipelines.manifests.labels.datasets.kinds import InFiles, LabelFile, text_table
from pipelines.manifests.labels.telling import Told

_BOX = ("face_x0", "face_y0", "face_x1", "face_y1")
_COLUMNS = ("img_name", "age", "gender", *_BOX)
_UNKNOWN = r"\s*(?:-1(?:\.0*)?|none|nan)\s*"


def _read(file: LabelFile, uris: Collection[str]) -> tuple[pd.DataFrame, Told]:
    table = text_table(file, DATASET.title, _COLUMNS)
    numbers = table[list(_BOX)].apply(pd.to_numeric, errors="coerce")
    has_box = (numbers["face_x1"] > numbers["face_x0"]) & (numbers["face_y1"] > numbers["face_y0"])
    kinds = pd.Series("people_without_a_face", index=table.index).mask(has_box, "")
    told = Told.of(kinds, table["img_name"], _SENTENCES)
    frame = table.loc[has_box, list(_COLUMNS)].rename(columns={"img_name": "path"})
    for name in ("age", "gender"):
        unknown = frame[name].str.fullmatch(_UNKNOWN, case=False)
        frame[name] = frame[name].mask(unknown, "")
    return frame.reset_index(drop=True), told


_SENTENCES = {
    "people_without_a_face": "labels: {count} people have no face box (the first in {first}); "
    "they are skipped"
}
DATASET = InFiles(
    "LAGENDA",
    "lagenda_test_annotation.csv",
    re.compile(r"lagenda[\w.-]*\.csv", re.IGNORECASE),
    (*_COLUMNS, "person_x0", "person_y0", "person_x1", "person_y1"),
    _read,
)
