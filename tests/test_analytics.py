"""The snippets of docs/analytics.md: they run, and three tools give one answer."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.predictions import random_faces, random_predictions, write_predictions

PAGE = Path(__file__).parents[1] / "docs" / "analytics.md"


def snippet(name: str) -> str:
    found = re.search(rf"<!-- snippet: {name} -->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None, name
    return found[1]


def run_python(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(snippet(name), f"{PAGE}:{name}", "exec"), names)
    return names


def test_three_tools_give_one_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    write_predictions(tmp_path, random_predictions(0, 800), random_predictions(1, 500))
    monkeypatch.setattr(os, "environ", {**os.environ})
    monkeypatch.chdir(tmp_path)
    queries = [query for query in snippet("duckdb").split(";") if query.strip()]
    by_gender, by_group, least_sure = (duckdb.sql(query).fetchall() for query in queries)
    pandas, polars = run_python("pandas"), run_python("polars")

    expected = [(gender, images, pytest.approx(age, rel=1e-5)) for gender, images, age in by_gender]
    assert list(pandas["by_gender"].itertuples(name=None)) == expected
    assert polars["by_gender"].rows() == expected

    expected = [(name, images, pytest.approx(years, rel=1e-5)) for name, images, years in by_group]
    assert list(pandas["by_group"].itertuples(name=None)) == expected
    assert [row[:3] for row in polars["by_group"].rows()] == expected
    assert sum(images for _, images, _ in by_group) == 1300

    expected = [(uri, pytest.approx(p)) for uri, p in least_sure]
    assert list(pandas["least_sure"].itertuples(index=False, name=None)) == expected
    assert polars["least_sure"].rows() == expected


def test_questions_of_faces_count_pictures_once_and_every_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    rows = random_faces(0, 400)
    write_predictions(tmp_path, rows.slice(0, 300), rows.slice(300))
    monkeypatch.chdir(tmp_path)
    queries = [query for query in snippet("faces").split(";") if query.strip()]
    crowds, largest, by_size = (duckdb.sql(query).fetchall() for query in queries)
    assert sum(pictures for _, pictures in crowds) == 400
    assert sum(faces * pictures for faces, pictures in crowds) == rows.num_rows
    assert sum(pictures for _, pictures, _ in largest) == 400
    assert sum(row[1] for row in by_size) == rows.num_rows
    frame: Any = rows.to_pandas()
    inside = frame["eye_distance_px"].between(32, 64, inclusive="left")
    told = {start: (faces, age) for start, faces, age, _ in by_size}
    assert told[32] == (inside.sum(), pytest.approx(frame["age_years"][inside].mean(), rel=1e-5))


def test_the_predictions_are_registered_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = random_predictions(0, 200)
    write_predictions(tmp_path, rows.slice(0, 50), rows.slice(50))
    monkeypatch.chdir(tmp_path)
    names = run_python("register")
    count, youngest = names["in_duckdb"]
    names["database"].close()
    assert count == len(names["in_pandas"]) == names["in_polars"].height == 200
    assert (
        youngest == names["in_pandas"]["age_years"].min() == names["in_polars"]["age_years"].min()
    )


def test_the_distribution_is_summed_over_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb
    import numpy as np
    import pyarrow as pa

    from pipelines.predictions.schemas import AGE_DISTRIBUTION, OPTIONAL_SCHEMA

    rows = random_predictions(0, 300)
    mass = np.random.default_rng(0).dirichlet(np.full(117, 0.05), 300).astype(np.float16)
    column = pa.FixedSizeListArray.from_arrays(pa.array(mass.ravel()), 117)
    rows = rows.append_column(OPTIONAL_SCHEMA.field(AGE_DISTRIBUTION), column)
    write_predictions(tmp_path, rows.slice(0, 100), rows.slice(100))
    monkeypatch.chdir(tmp_path)
    queries = [query for query in snippet("distribution").split(";") if query.strip()]
    by_gender, doubtful = (duckdb.sql(query).fetchall() for query in queries)
    young = mass[:, :18].astype(float).sum(axis=1)
    genders: Any = np.array(rows["gender"].to_pylist(), dtype=object)
    for gender, expected in by_gender:
        of_gender = np.array([name == gender for name in genders])
        assert expected == pytest.approx(young[of_gender].sum(), rel=1e-3)
    assert len(doubtful) == ((young >= 0.1) & (young <= 0.9)).sum()


def test_any_hive_level_can_be_read_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for year in ("2025", "2026", "__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / "dataset" / f"camera={year}").mkdir(parents=True)
        rows = random_predictions(1, 3).to_pandas()
        rows.to_parquet(tmp_path / "dataset" / f"camera={year}" / "part-00000.parquet")
    monkeypatch.chdir(tmp_path)
    names = run_python("text levels")
    expected = ["2025"] * 3 + ["2026"] * 3
    found = (
        names["in_pandas"]["camera"].to_list(),
        names["in_polars"]["camera"].to_list(),
        [camera for (camera,) in names["in_duckdb"]],
    )
    for cameras in found:
        assert sorted(camera for camera in cameras if isinstance(camera, str)) == expected
        assert len(cameras) == 9  # and nulls
