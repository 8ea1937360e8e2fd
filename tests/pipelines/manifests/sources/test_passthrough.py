"""Columns of a source go into the predictions by name, and belong to what a run is."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.bundle import Bundle
from model.errors import UsageError
from pipelines.manifests.sources import open_source
from pipelines.predictions import frozen_inputs, schemas
from pipelines.predictions.verification import verify
from pipelines.scoring.preview import preview
from tests.archives import parquet_of, pictures_of
from tests.runs import plan_of, score, score_options


def _folder(folder: Path, faces_dir: Path) -> Path:
    """Two Parquet files of 5 and 4 pictures with ids and cameras; the third picture is none."""
    (folder / "data").mkdir(parents=True)
    pictures = [*pictures_of(faces_dir, 2), b"no picture", *pictures_of(faces_dir, 6)]
    for part, (start, end) in enumerate(((0, 5), (5, 9))):
        columns = {"id": pa.array(range(start, end)), "camera": ["a", *["b"] * (end - start - 1)]}
        data = parquet_of(pictures[start:end], columns, group_rows=3)
        (folder / "data" / f"train-{part}.parquet").write_bytes(data)
    return folder


def test_pictures_in_parquet_are_scored_with_the_columns_beside_them(
    faces_dir: Path, untrained: Bundle, tmp_path: Path, ray_session: None
) -> None:
    folder = _folder(tmp_path / "set", faces_dir)
    options = score_options(
        images=(str(folder),), output=str(tmp_path / "out"), passthrough="id,camera", shard_rows=2
    )
    result = score(options, untrained)
    assert (result.record["inputs"], result.record["scored"]) == (9, 8)
    assert verify(options.place).problems == ()
    frozen = frozen_inputs.load_frozen(options.place)
    assert frozen is not None and frozen.rows == (3, 2, 3, 1)  # row groups, whole
    table = schemas.read_predictions(options.place)
    assert (
        table.column_names[-2:] == ["id", "camera"] and table.schema.field("id").type == pa.int64()
    )
    rows = {row["uri"]: row for row in table.to_pylist()}
    for place, number in (("0.parquet#0", 0), ("0.parquet#4", 4), ("1.parquet#3", 8)):
        assert rows[f"{folder}/data/train-{place}"]["id"] == number
    assert rows[f"{folder}/data/train-1.parquet#0"]["camera"] == "a"

    with pytest.raises(UsageError, match=r"passthrough was \['id', 'camera'\], is None"):
        score(score_options(images=(str(folder),), output=options.place), untrained)
    data = parquet_of(pictures_of(faces_dir, 2), {"id": pa.array([70, 71]), "camera": ["c", "d"]})
    (folder / "data" / "train-2.parquet").write_bytes(data)
    grown = score_options(
        images=(str(folder),), output=options.place, passthrough="id,camera", on_existing="update"
    )
    source = open_source(grown.images, None, grown.passed_through)
    assert "2 new, 0 changed, 0 deleted" in preview(plan_of(grown, untrained, source)).state
    assert score(grown, untrained).record["scored"] == 10
    assert schemas.read_predictions(options.place)["id"].to_pylist()[-2:] == [70, 71]
    assert verify(options.place).problems == ()


def test_columns_of_a_manifest_are_kept_and_a_changed_one_is_a_changed_input(
    faces_dir: Path, untrained: Bundle, tmp_path: Path, ray_session: None
) -> None:
    uris = [str(path) for path in sorted(faces_dir.glob("*.jpg"))[:6]]
    pq.write_table(pa.table({"uri": uris, "shop": list("abcdef")}), tmp_path / "list.parquet")
    options = score_options(
        manifest=str(tmp_path / "list.parquet"), output=str(tmp_path / "out"), passthrough="shop",
        shard_rows=2, on_existing="update",
    )  # fmt: skip
    score(options, untrained)
    assert schemas.read_predictions(options.place)["shop"].to_pylist() == list("abcdef")
    pq.write_table(pa.table({"uri": uris, "shop": list("abXdef")}), tmp_path / "list.parquet")
    result = score(options, untrained)
    assert result.growth is not None and result.growth.changed == 1
    assert schemas.read_predictions(options.place)["shop"].to_pylist() == list("abXdef")


def test_a_name_that_is_unknown_or_taken_is_refused_before_anything_starts(
    faces_dir: Path, tmp_path: Path
) -> None:
    folder, output = _folder(tmp_path / "set", faces_dir), str(tmp_path / "out")
    file = f"{folder}/data/train-0.parquet"
    for name, message in (
        ("shop", f"in {file} this is none of its columns; it has id, camera"),
        ("image", f"in {file} this holds its images; it has id, camera"),
    ):
        with pytest.raises(UsageError) as error:
            open_source((str(folder),), None, (name,)).require_readable(output)
        assert str(error.value) == f"`passthrough` {name}: {message}"
    with pytest.raises(UsageError, match=r"^`passthrough` id: .* has no columns; give Par"):
        open_source((str(faces_dir),), None, ("id",)).require_readable(output)
    for names, message in (
        ("gender", "`passthrough` gender: facemill writes a column of this name; rename yours"),
        ("id,id", "`passthrough` id,id names id twice"),
    ):
        with pytest.raises(UsageError) as error:
            _ = score_options(images=(str(folder),), passthrough=names).passed_through
        assert str(error.value) == message
