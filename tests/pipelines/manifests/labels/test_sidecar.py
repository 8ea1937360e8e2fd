"""Labels beside their pictures: columns of the same Parquet, WebDataset's files of the same key."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.bundle import Bundle
from model.errors import ManifestError
from pipelines.manifests.ingest import Ingested, ingest
from pipelines.manifests.options import IngestOptions
from pipelines.scoring.evaluation import evaluate, labelled_rows
from pipelines.scoring.options import EvaluateOptions
from tests.archives import parquet_of, pictures_of, tar_of, zip_of

pytestmark = pytest.mark.usefixtures("ray_session")


def _labels(result: Ingested) -> list[tuple[str, float | None, str | None]]:
    rows = result.table.sort_by("uri").to_pylist()
    return [(r["uri"].rpartition("#")[2], r["age_years"], r["gender"]) for r in rows]


def test_columns_beside_the_pictures_of_parquet_are_labels(
    faces_dir: Path, untrained: Bundle, tmp_path: Path
) -> None:
    pictures = pictures_of(faces_dir, 6)
    columns = {"Age": ["3-9", "20", "31", "60", "70", ""], "gender": pa.array([0, 1, 0, 1, 0, 1])}
    table = pq.read_table(pa.BufferReader(parquet_of(pictures, columns)))
    features = {"gender": {"names": ["Male", "Female"], "_type": "ClassLabel"}}
    said = json.dumps({"info": {"features": features}})
    (tmp_path / "set").mkdir()
    pq.write_table(table.replace_schema_metadata({"huggingface": said}), tmp_path / "set/a.parquet")
    (tmp_path / "set" / "README.md").write_text("a card")
    result = ingest(IngestOptions(str(tmp_path / "set")))
    assert _labels(result) == [
        ("0", 6.0, "male"), ("1", 20.0, "female"), ("2", 31.0, "male"),
        ("3", 60.0, "female"), ("4", 70.0, "male"), ("5", None, "female"),
    ]  # fmt: skip
    assert result.notes[0] == "labels: sidecar, 0 of its 6 rows match no file"
    assert result.counts["files"] == 7 and result.rejects.num_rows == 1
    assert result.table["content_hash"].null_count == 0

    options = EvaluateOptions(images=str(tmp_path / "set"), output=str(tmp_path / "out"))
    evaluated = evaluate(options.scoring(), untrained, labelled_rows(options))
    assert (evaluated.labels, evaluated.measured) == (6, 6)


def test_codes_that_no_schema_explains_need_the_option(faces_dir: Path, tmp_path: Path) -> None:
    columns = {"age": [20, 30], "gender": pa.array([0, 1])}
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet_of(pictures_of(faces_dir, 2), columns))
    with pytest.raises(ManifestError, match=r"^`labels` beside codes gender by numbers such as 0"):
        ingest(IngestOptions(str(path)))
    codes = IngestOptions(str(path), label_format="sidecar", gender_codes="0=female,1=male")
    assert [gender for *_, gender in _labels(ingest(codes))] == ["female", "male"]


@pytest.mark.parametrize("kind", ["tar.gz", "tar", "zip"])
def test_files_of_one_key_are_labels(faces_dir: Path, tmp_path: Path, kind: str) -> None:
    one, two, three, four = pictures_of(faces_dir, 4)
    members = {
        "a/001.jpg": one, "a/001.json": b'{"age": 34, "gender": "Woman", "x": null}',
        "b/001.jpg": two, "b/001.age.txt": b"50-59\n", "b/001.gender.cls": b"M",
        "b/002.jpg": three, "b/002.txt": b"girl",
        "b/003.jpg": four, "b/003.txt": b"8",
        "b/notes.txt": b"of nobody",
    }  # fmt: skip
    data = zip_of(members) if kind == "zip" else tar_of(members, "w:gz" if "gz" in kind else "w")
    (tmp_path / f"train-0.{kind}").write_bytes(data)
    result = ingest(IngestOptions(str(tmp_path)))
    assert _labels(result) == [
        ("a/001.jpg", 34.0, "female"), ("b/001.jpg", 54.5, "male"),
        ("b/002.jpg", None, "female"), ("b/003.jpg", 8.0, None),
    ]  # fmt: skip
    assert result.rejects.num_rows == 0


def test_classes_that_nothing_explains_are_refused(faces_dir: Path, tmp_path: Path) -> None:
    members = {"1.jpg": pictures_of(faces_dir, 1)[0], "1.cls": b"1"}
    (tmp_path / "a.zip").write_bytes(zip_of(members))
    with pytest.raises(ManifestError) as error:
        ingest(IngestOptions(str(tmp_path)))
    assert str(error.value) == (
        "`label_format` sidecar: .cls files hold codes such as 1 without a meaning: give "
        "`gender_codes`, or name the files .age.cls or .race.cls"
    )
    codes = IngestOptions(str(tmp_path), label_format="sidecar", gender_codes="0=male,1=female")
    assert _labels(ingest(codes)) == [("1.jpg", None, "female")]


def test_nothing_beside_is_a_sentence(faces_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of({"1.jpg": pictures_of(faces_dir, 1)[0]}))
    with pytest.raises(
        ManifestError, match=r"^`label_format` sidecar: there is no column age or gender"
    ):
        ingest(IngestOptions(str(tmp_path), label_format="sidecar"))
    assert _labels(ingest(IngestOptions(str(tmp_path)))) == [("1.jpg", None, None)]
