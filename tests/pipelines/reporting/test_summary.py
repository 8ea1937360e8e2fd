"""The streaming summary: equal to pandas and NumPy on every count and mean, wherever rows lie."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from model import statistics
from model.errors import UsageError
from pipelines.predictions.prediction_files import find_predictions
from pipelines.reporting import summary
from pipelines.reporting.summary import summarise
from pipelines.storage import tables
from tests.predictions import random_faces, random_predictions, write_predictions


@pytest.mark.parametrize("seed", range(5))
def test_duckdb_pandas_and_our_summary_agree_on_every_count_and_mean(
    seed: int, tmp_path: Path
) -> None:
    import duckdb

    parts = [random_predictions(seed * 10 + i, 1000 * i + 7) for i in range(3)]
    output = write_predictions(tmp_path, *parts)
    totals = summarise(find_predictions(output))
    frame = pd.concat([part.to_pandas() for part in parts], ignore_index=True)
    frame["interval_years"] = frame["age_high_years"] - frame["age_low_years"]
    query = f"FROM '{output}/predictions/*.parquet'"
    assert totals.rows == len(frame) == duckdb.sql(f"SELECT count(*) {query}").fetchall()[0][0]
    for name in summary.MEANS:
        column = "age_high_years - age_low_years" if name == "interval_years" else name
        sql = duckdb.sql(f"SELECT avg(({column})::DOUBLE) {query}").fetchall()[0][0]
        ours, theirs = totals.mean(name), frame[name].astype(float).mean()
        assert ours == pytest.approx(theirs, rel=1e-9) == pytest.approx(sql, rel=1e-9)
        assert totals.known[name] == frame[name].notna().sum()
    assert dict(totals.count("genders")) == frame["gender"].value_counts().to_dict()
    groups = frame["age_group"].value_counts()
    assert dict(totals.count("groups")) == groups[groups > 0].to_dict()
    known = frame.dropna(subset="age_years")
    people = known.groupby(["gender", known["age_years"].astype(int)], observed=True).size()
    assert dict(totals.count("people")) == people.to_dict()
    columns = {n: frame[n].to_numpy() for n in frame if frame[n].dtype.kind in "fi"}
    assert totals.histograms == statistics.profile(columns)


def test_duplicates_are_rows_beyond_the_first_of_their_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = random_predictions(0, 900)
    output = write_predictions(tmp_path, part, part.slice(0, 300), part.slice(0, 100))
    assert summarise(find_predictions(output)).duplicates == 400
    monkeypatch.setattr(summary, "_DUPLICATE_URIS", 400)
    sampled = summarise(find_predictions(output))
    assert sampled.duplicates_share == 4
    assert sampled.duplicates == pytest.approx(400, rel=0.4)  # an estimate from one uri in four


def test_nan_counts_apart_and_in_nothing_else(tmp_path: Path) -> None:
    age = np.array([20.0, math.nan, 40.0], dtype=np.float32)
    output = write_predictions(tmp_path, random_predictions(0, 3, age_years=pa.array(age)))
    totals = summarise(find_predictions(output))
    assert totals.not_a_number["age_years"] == 1
    assert totals.mean("age_years") == 30
    assert sum(totals.count("people").values()) == 2
    assert sum(totals.histograms["age_years"]) == 2


def test_places_are_what_the_expression_finds(tmp_path: Path) -> None:
    output = write_predictions(tmp_path, random_predictions(1, 300))
    totals = summarise(find_predictions(output), by=r"/([^/]+)/[^/]+$")
    assert {n: place["images"] for n, place in totals.places.items()} == dict.fromkeys("abc", 100)
    with pytest.raises(UsageError, match=r"^`by` '\(' is no regular expression with a group: "):
        summarise(find_predictions(output), by="(")


@pytest.mark.parametrize("rows", [random_predictions, random_faces])
def test_a_bucket_gives_the_figures_of_the_folder(
    bucket: str, tmp_path: Path, rows: Callable[[int, int], pa.Table]
) -> None:
    parts = [rows(0, 500), rows(0, 90)]  # the second repeats some of the first
    places = (str(tmp_path), f"{bucket}/{rows.__name__}")
    sources = [find_predictions(write_predictions(place, *parts)) for place in places]
    local, remote = (summarise(source, by="/(?:faces|photos)/(.)/") for source in sources)
    for name in ("rows", "pictures", "faces", "counts", "duplicates"):
        assert getattr(remote, name) == getattr(local, name), name
    for place, sums in local.places.items():
        assert remote.places[place] == pytest.approx(sums)
    assert remote.mean("age_years") == pytest.approx(local.mean("age_years"))


@pytest.mark.parametrize("place", ["local", "s3"])
def test_columns_that_became_hive_folders_are_in_the_figures(
    request: pytest.FixtureRequest, tmp_path: Path, place: str
) -> None:
    folder = str(tmp_path) if place == "local" else request.getfixturevalue("bucket") + "/hive"
    rows = random_predictions(3, 400)
    whole = summarise(find_predictions(write_predictions(f"{folder}/whole", rows)))
    for gender in ("female", "male"):
        part = rows.filter(pc.equal(rows["gender"].cast(pa.string()), gender)).drop(["gender"])
        tables.write_table(f"{folder}/hive/gender={gender}/part-0.parquet", part)
    totals = summarise(find_predictions(f"{folder}/hive"))
    assert totals.count("genders") == whole.count("genders")
    assert totals.count("people") == whole.count("people")


def test_older_predictions_without_intervals_still_count(tmp_path: Path) -> None:
    old = random_predictions(2, 50).select(["uri", "age_years", "gender", "p_female", "bundle_id"])
    totals = summarise(find_predictions(write_predictions(tmp_path, old)))
    assert (totals.rows, set(totals.histograms)) == (50, {"age_years", "p_female"})


def test_only_quarantine_no_rows_and_missing_columns_are_a_sentence_each(tmp_path: Path) -> None:
    reject = pa.table({"uri": ["/a.jpg"], "stage": ["decode"], "error": ["empty"]})
    tables.write_table(str(tmp_path / "bad" / "quarantine" / "shard-00000.parquet"), reject)
    with pytest.raises(UsageError) as error:
        find_predictions(str(tmp_path / "bad"))
    assert str(error.value) == (
        f"`predictions` {tmp_path / 'bad'} holds only quarantine, no predictions: the run scored "
        "nothing; look at the reasons in its quarantine folder"
    )
    scored_nothing = write_predictions(tmp_path / "bad", random_predictions(0, 0))
    with pytest.raises(UsageError, match=r"holds only quarantine, no predictions"):
        summarise(find_predictions(scored_nothing))  # as jobs.score leaves it
    empty = write_predictions(tmp_path / "empty", random_predictions(0, 0))
    with pytest.raises(UsageError) as error:
        summarise(find_predictions(empty))
    assert str(error.value) == f"`predictions` {empty} has no rows: there is nothing to report"
    other = tmp_path / "other.parquet"
    tables.write_table(str(other), pa.table({"name": ["x"], "age": [3]}))
    with pytest.raises(UsageError) as error:
        find_predictions(str(other))
    assert str(error.value) == (
        f"`predictions` {other} lacks uri, bundle_id: it has age, name; give what jobs.score wrote"
    )
    (tmp_path / "nothing").mkdir()
    with pytest.raises(
        UsageError, match=r"nothing holds no Parquet file: give the output of jobs\.score"
    ):
        find_predictions(str(tmp_path / "nothing"))
