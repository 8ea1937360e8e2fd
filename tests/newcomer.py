"""Drawn faces as data sets lie about: `python -m tests.newcomer FOLDER`, for docs/datasets.md.

Leaves FOLDER/faces-hf, a folder of Parquet as Hugging Face's `datasets` writes it, and
FOLDER/fairface, pictures with FairFace's files of labels.
"""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from demo.drawn_faces import draw_face
from model.labels import GENDERS

_FAIRFACE_AGES = [(0, 2), (3, 9), *((low, low + 9) for low in range(10, 70, 10))]
_RACES = ("White", "Black", "East Asian", "Indian", "Latino_Hispanic")


def _drawn(seed: int, count: int) -> Sequence[tuple[int, int, int, bytes]]:
    """(age, gender, race, JPEG) of each face."""
    faces: list[tuple[int, int, int, bytes]] = []
    for index in range(count):
        look, picture = draw_face(seed, index)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=90)
        faces.append((look.age_years, int(look.female), look.race, file.getvalue()))
    return faces


def hugging_face(folder: Path, count: int) -> None:
    """train-00000-of-00002.parquet and its neighbour: image {bytes, path}, age, gender."""
    folder.mkdir(parents=True)
    features = {
        "image": {"_type": "Image"}, "age": {"dtype": "int32", "_type": "Value"},
        "gender": {"names": list(GENDERS), "_type": "ClassLabel"},
    }  # fmt: skip
    said = json.dumps({"info": {"features": features}})
    faces = _drawn(5, count)
    for part in range(2):
        some = faces[part::2]
        images = [{"bytes": data, "path": f"{n}.jpg"} for n, (_, _, _, data) in enumerate(some)]
        table = pa.table(
            {
                "image": pa.array(images),
                "age": pa.array([age for age, _, _, _ in some], pa.int32()),
                "gender": pa.array([gender for _, gender, _, _ in some], pa.int64()),
            }
        ).replace_schema_metadata({"huggingface": said})
        pq.write_table(table, folder / f"train-{part:05d}-of-00002.parquet")


def fairface(folder: Path, count: int) -> None:
    """train/, val/ and a file of labels for each; every fifth face is in val."""
    lines = {name: ["file,age,gender,race,service_test"] for name in ("train", "val")}
    for number, (age, gender, race, data) in enumerate(_drawn(6, count), 1):
        split = "train" if number % 5 else "val"
        name = f"{split}/{len(lines[split])}.jpg"
        (folder / split).mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        span = next((f"{low}-{high}" for low, high in _FAIRFACE_AGES if low <= age <= high), None)
        word = "Female" if gender else "Male"
        lines[split].append(f"{name},{span or 'more than 70'},{word},{_RACES[race]},False")
    for split, rows in lines.items():
        (folder / f"fairface_label_{split}.csv").write_text("\n".join(rows) + "\n")


def main(folder: Path) -> None:
    """Write both."""
    hugging_face(folder / "faces-hf", 200)
    fairface(folder / "fairface", 600)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
