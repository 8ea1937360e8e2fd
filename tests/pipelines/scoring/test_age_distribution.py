"""The distribution of each age as a column: asked for, part of what a run is, and whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from demo.drawn_faces import draw_faces
from model.bundle import Bundle
from model.errors import UsageError
from model.predictor import Predictor
from pipelines.predictions import schemas
from pipelines.predictions.dataset import Partitioning, write_dataset
from pipelines.predictions.verification import verify
from pipelines.scoring import plan as planning
from pipelines.scoring.rows import score_entries
from pipelines.storage import tables
from tests.bundles import untrained_bundle
from tests.runs import place_as_on_a_gpu, score, score_options, scoring_job

WITH = (*schemas.COLUMNS, schemas.AGE_DISTRIBUTION)


@pytest.fixture(scope="module")
def distributed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A network with a distribution head."""
    return untrained_bundle(tmp_path_factory.mktemp("bundle") / "b", name="facemill-muon")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    draw_faces(folder, 12, seed=3)
    return folder


def options(faces: Path, output: Path, **values: Any) -> Any:
    chosen = {"compute": "tensorflow-float32", "workers": 1, "shard_rows": 5}
    return score_options(images=(str(faces),), output=str(output), **chosen, **values)


def test_its_numbers_sum_to_one_and_their_mean_is_the_age(faces: Path, distributed: Bundle) -> None:
    entries = [{"uri": str(path), "bytes": None, "offset": None} for path in faces.iterdir()]
    scored = score_entries(entries, Predictor(distributed), columns=WITH)
    table = scored.predictions
    assert table.schema.equals(schemas.schema_of(WITH))
    lists: Any = table["age_distribution"].combine_chunks()
    mass = lists.flatten().to_numpy().astype(float).reshape(-1, 117)
    np.testing.assert_allclose(mass.sum(axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(mass @ np.arange(117), table["age_years"].to_numpy(), atol=0.1)
    nothing = score_entries([], Predictor(distributed), columns=WITH).predictions
    assert nothing.schema.equals(table.schema)


def test_it_is_part_of_what_a_run_is_and_absent_from_those_of_before(
    faces: Path, distributed: Bundle, tmp_path: Path
) -> None:
    plain = scoring_job(options(faces, tmp_path), distributed)
    assert "age_distribution" not in plain.identity()
    assert plain.columns == schemas.COLUMNS
    asked = scoring_job(options(faces, tmp_path, age_distribution=True), distributed)
    assert asked.identity()["age_distribution"] is True
    assert asked.columns == WITH
    planning.claim(plain)
    with pytest.raises(UsageError, match="age_distribution was False, is True"):
        planning.claim(asked)


def test_a_network_that_says_no_distribution_is_refused(
    faces: Path, tmp_path: Path, untrained: Bundle
) -> None:
    with pytest.raises(UsageError) as error:
        scoring_job(options(faces, tmp_path, age_distribution=True), untrained)
    heads = ", ".join(f"{head.name} ({head.kind})" for head in untrained.heads)
    assert str(error.value) == (
        f"`age_distribution` needs a head of kind distribution, and {untrained.name} has "
        f"none: its heads are {heads}; leave it out, or give another `bundle`"
    )


def test_the_job_refuses_it_before_it_starts_anything(
    faces: Path, tmp_path: Path, untrained: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    from jobs.score import main

    command = ["--images", str(faces), "--bundle", str(untrained.folder), "--age-distribution"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--output", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "error: --age-distribution needs a head of kind" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_kept_column_may_be_called_like_it() -> None:
    with pytest.raises(UsageError, match="facemill writes a column of this name"):
        schemas.require_free_names(["age_distribution"])


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_run_has_it_in_every_file_and_in_the_data_set_and_goes_on_with_it(
    device: str,
    faces: Path,
    distributed: Bundle,
    tmp_path: Path,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if device == "gpu":
        place_as_on_a_gpu(monkeypatch)
    output = tmp_path / "out"
    asked = options(faces, output, age_distribution=True)
    score(asked, distributed)
    whole = schemas.read_predictions(str(output))
    assert tuple(whole.column_names) == WITH
    assert tables.read_json(f"{output}/job.json")["columns"] == list(WITH)
    (output / "predictions" / "shard-00001.parquet").unlink()
    (output / "run.json").unlink()
    score(asked, distributed)
    assert schemas.read_predictions(str(output)).equals(whole)
    assert verify(str(output)).problems == ()
    record = write_dataset(str(output), Partitioning())
    assert record["rows"] == whole.num_rows
    (file,) = (output / "dataset").rglob("*.parquet")
    laid_out = pq.read_table(file)
    assert laid_out["age_distribution"].type == whole["age_distribution"].type
