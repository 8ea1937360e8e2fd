"""One module measures labelled rows: each figure is that of its definition, copies count once."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from model.labels import DECADES
from pipelines.manifests import manifest
from pipelines.predictions import figures
from pipelines.predictions.labelling import with_labels
from pipelines.predictions.raw_predictions import RawPredictions, labels_of
from pipelines.predictions.schemas import PREDICTIONS_SCHEMA

COUNT = 60


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Predictions of face crops that are off by 0 to 9 years, and of wrong gender now and then."""
    index = np.arange(COUNT)
    age = 10.0 + index
    error = (index % 10).astype(float)
    return pd.DataFrame({
        "uri": [f"/f/{n:02d}.jpg" for n in index], "true_age": age, "age_years": age + error,
        "age_low_years": age + error - 4, "age_high_years": age + error + 4,
        "true_gender": np.where(index % 2, "female", "male"),
        "p_female": np.where(index % 6 == 0, 1 - index % 2, index % 2) * 0.8 + 0.1,
    })  # fmt: skip


def labelled(frame: pd.DataFrame, **truth: Any) -> pa.Table:
    """The rows beside their labels, as an evaluation joins them."""
    named = frame.assign(gender=np.where(frame["p_female"] >= 0.5, "female", "male"))
    known = [name for name in PREDICTIONS_SCHEMA.names if name in named]
    records = named[known].astype(object).where(named[known].notna(), None).to_dict("records")
    predicted = pa.Table.from_pylist(records, schema=PREDICTIONS_SCHEMA)
    labels = pd.DataFrame(
        {"uri": frame["uri"], "age_years": frame["true_age"], "gender": frame["true_gender"]}
    )
    return with_labels(predicted, manifest.to_table(labels.assign(**truth)))


def test_errors_hits_and_coverage_are_those_of_their_definitions(frame: pd.DataFrame) -> None:
    rows = figures.of_table(labelled(frame), DECADES)
    estimates = figures.estimates(rows) | figures.coverage(rows)
    assert {name: round(e.value, 4) for name, e in estimates.items()} == {
        "age_mae": 4.5, "age_rmse": 5.3385, "age_bias": 4.5, "age_within_5": 0.6,
        "gender_accuracy": 0.8333, "gender_auc": 0.8333, "age_coverage": 0.5,
    }  # fmt: skip
    assert all(e.low < e.value < e.high and e.images == COUNT for e in estimates.values())
    np.testing.assert_array_equal(rows.age_error, np.arange(COUNT) % 10)
    assert figures.constants(rows).age_years == 39.5


def test_what_lacks_a_label_or_a_prediction_counts_in_no_figure(frame: pd.DataFrame) -> None:
    some = frame.assign(
        true_age=frame["true_age"].where(frame.index >= 20), p_female=np.nan,
        age_low_years=frame["age_low_years"].where(frame.index >= 50),
    )  # fmt: skip
    rows = figures.of_table(labelled(some))
    measured = figures.estimates(rows)
    assert measured["age_mae"].images == 40
    assert "gender_accuracy" not in measured
    assert figures.coverage(rows)["age_coverage"].images == 10
    nothing = figures.of_table(labelled(frame.assign(true_age=np.nan, true_gender=None)))
    assert (figures.estimates(nothing), figures.coverage(nothing)) == ({}, {})


def test_copies_of_an_image_are_drawn_together(frame: pd.DataFrame) -> None:
    rows = figures.of_table(labelled(frame))
    copies = dataclasses.replace(rows, images=np.array([f"{n // 10}" for n in range(COUNT)]))
    alone, together = (figures.estimates(each)["age_mae"] for each in (rows, copies))
    assert alone.value == together.value
    assert together.high - together.low < 1e-6 < alone.high - alone.low  # tens are all alike


def test_groups_are_by_label_and_a_cell_is_measured_as_the_whole_is(frame: pd.DataFrame) -> None:
    rows = figures.of_table(labelled(frame, race="asian"))
    groups = figures.groups(rows)
    assert set(groups) == {"age", "gender", "race"}
    (cell,) = figures.cells(rows, {"race": groups["race"]})
    assert (cell.images, cell.age_mae) == (COUNT, figures.estimates(rows)["age_mae"])
    by_age = figures.cells(rows, {"age": groups["age"]})
    assert {cell.group["age"]: cell.images for cell in by_age} == {
        "0-10": 1, "11-20": 10, "21-30": 10, "31-40": 10, "41-50": 10, "51-60": 10, "61-70": 9,
    }  # fmt: skip


def test_a_network_s_answers_are_measured_as_a_table_of_them_is(frame: pd.DataFrame) -> None:
    labels = manifest.to_table(
        pd.DataFrame({"uri": frame["uri"], "age_years": frame["true_age"],
                      "gender": frame["true_gender"]})
    )  # fmt: skip
    names = ("age_years", "age_low_years", "age_high_years", "p_female")
    outputs = {"float32": {name: frame[name].to_numpy(np.float32) for name in names}}
    here = figures.estimates(RawPredictions(labels_of(labels), {}, outputs).labelled({}))
    there = figures.estimates(figures.of_table(labelled(frame)))
    assert {n: e.value for n, e in here.items()} == pytest.approx(
        {n: e.value for n, e in there.items()}, rel=1e-6
    )
