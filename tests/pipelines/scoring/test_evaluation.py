"""Labels beside the faces that were found: each belongs to one face, bystanders have none."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from model import baselines
from model.bundle import Bundle
from model.errors import UsageError
from model.labels import DECADES
from pipelines.manifests.manifest import to_table
from pipelines.manifests.sources.rows import Rows
from pipelines.predictions import figures, labelling
from pipelines.predictions.schemas import PREDICTIONS_SCHEMA
from pipelines.scoring import evaluation, summaries
from pipelines.scoring.options import EvaluateOptions
from tests.runs import score_options


def predicted(*faces: tuple[str, float, float, float], crops: bool = False) -> pa.Table:
    """Rows of (uri, left, side, age)."""
    rows = [
        {"uri": uri, "face_left": left, "face_top": 0.0, "face_width": side, "face_height": side,
         "age_years": age, "gender": "male", "bundle_id": "b", "face": None if crops else 0}
        for uri, left, side, age in faces
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=PREDICTIONS_SCHEMA)


def manifest(*labels: tuple[str, float, float | None]) -> pa.Table:
    """Rows of (uri, age, left of a box of side 100 or None)."""
    import pandas as pd

    box = {"face_top": 0.0, "face_width": 100.0, "face_height": 100.0}
    rows = [
        {"uri": uri, "age_years": age, "gender": "female", "face_left": left}
        | ({name: None for name in box} if left is None else box)
        for uri, age, left in labels
    ]
    return to_table(pd.DataFrame(rows))


def errors(predictions: pa.Table, labels: pa.Table) -> dict[tuple[str, float], float | None]:
    table = labelling.with_labels(predictions, labels)
    return {(r["uri"], r["face_left"]): r["age_error_years"] for r in table.to_pylist()}


def test_a_boxed_label_belongs_to_the_face_in_the_box() -> None:
    found = predicted(("a", 0, 100, 30), ("a", 300, 100, 50))
    told = errors(found, manifest(("a", 45, 305), ("a", 33, 2)))
    assert told == {("a", 0.0): pytest.approx(-3), ("a", 300.0): pytest.approx(5)}


def test_of_overlapping_labels_the_best_has_the_face_whatever_their_order() -> None:
    found = predicted(("a", 0, 100, 30))
    for labels in ((("a", 25, 0), ("a", 70, 50)), (("a", 70, 50), ("a", 25, 0))):
        assert errors(found, manifest(*labels)) == {("a", 0.0): pytest.approx(5)}
    assert errors(found, manifest(("a", 25, None), ("a", 70, None))) == {("a", 0.0): None}


def test_a_label_of_a_picture_belongs_to_its_clearly_largest_face_and_to_no_bystander() -> None:
    found = predicted(("a", 0, 200, 30), ("a", 300, 50, 9), ("b", 0, 100, 20), ("b", 200, 95, 60))
    told = errors(found, manifest(("a", 31, None), ("b", 20, None)))
    assert told[("a", 0.0)] == pytest.approx(-1)
    assert [told[key] for key in (("a", 300.0), ("b", 0.0), ("b", 200.0))] == [None] * 3


def test_a_label_whose_face_was_not_found_is_beside_none() -> None:
    told = errors(predicted(("a", 0, 100, 30)), manifest(("a", 45, 500), ("gone", 3, None)))
    assert told == {("a", 0.0): None}


def test_the_summary_says_where_a_network_is_no_better_than_a_constant() -> None:
    scored: Any = SimpleNamespace(record={"scored": 2, "quarantined": 0})
    bundle: Any = SimpleNamespace(name="n", id="i")
    rows = {
        note: summaries.of_evaluation(evaluation.Evaluation({}, scored, 2, 2, note), bundle, "o")[1]
        for note in ("", "no better than a constant")
    }
    assert "note" not in dict(rows[""])
    assert ("note", "no better than a constant") in rows["no better than a constant"]


def test_predictions_of_one_answer_are_measured_beside_the_constants_of_their_labels() -> None:
    found = predicted(*((f"{n}", 0, 100, 26) for n in range(40)), crops=True)
    labels = manifest(*((f"{n}", float(n), None) for n in range(40)))
    rows = figures.of_table(labelling.with_labels(found, labels), DECADES)
    estimates, constant = figures.estimates(rows), figures.constants(rows)
    assert (constant.age_years, constant.age_mae) == (19.5, 10.0)
    assert "of always predicting 19.5" in baselines.no_better(estimates, constant)
    copies = np.array([f"{number // 4}" for number in range(40)])  # ten images: a tenth knows less
    wider = figures.estimates(dataclasses.replace(rows, images=copies))
    assert wider["age_mae"].value == estimates["age_mae"].value
    assert wider["age_mae"].high > estimates["age_mae"].high


def test_labels_that_are_ranges_are_judged_by_range_and_are_in_no_error_in_years() -> None:
    import pandas as pd

    ranges = [(20.0, 29.0), (30.0, 39.0), (70.0, 116.0), (None, None)]
    rows = pd.DataFrame(
        {
            "uri": list("abcd"), "age_years": [24.5, 34.5, None, 40.0], "gender": None,
            "age_low_years": [low for low, _ in ranges],
            "age_high_years": [high for _, high in ranges],
        }
    )  # fmt: skip
    ages = (("a", 29.3), ("b", 25.0), ("c", 80.0), ("d", 43.0))
    found = predicted(*((uri, 0, 1, age) for uri, age in ages), crops=True)
    table = labelling.with_labels(found, to_table(rows))
    assert table["true_age_years"].to_pylist() == [None, None, None, 40]
    assert table["age_error_years"].to_pylist() == [None, None, None, 3]
    assert table.filter(labelling.has_label(table)).num_rows == 4
    known = figures.of_table(table, DECADES)
    estimates, constant = figures.estimates(known), figures.constants(known)
    assert (constant.age_range, constant.age_in_range) == ("20-29", pytest.approx(1 / 3))
    assert (estimates["age_mae"].value, estimates["age_mae"].images) == (3, 1)
    assert estimates["age_in_range"].value == pytest.approx(2 / 3)
    assert estimates["age_range_one_off"].value == 1
    scored: Any = SimpleNamespace(record={"scored": 4, "quarantined": 0})
    told = evaluation.Evaluation(estimates, scored, 4, 4, ranges=3)
    bundle: Any = SimpleNamespace(name="n", id="i")
    shown = dict(summaries.of_evaluation(told, bundle, "o")[1])
    assert shown["age ranges"] == "3 labels, excluded from the mean absolute error"
    assert str(shown["age in labelled range"]).startswith("66.67 % (")


def test_labels_go_with_images_as_an_ingest_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def ingest(options: Any) -> Any:
        asked.append(options)
        return SimpleNamespace(table=manifest(("a", 30, None)))

    monkeypatch.setattr(evaluation, "ingest", ingest)
    options = EvaluateOptions(images="/x", output="/o", labels="/y.csv", label_format="fairface")
    assert evaluation.labelled_rows(options).table.num_rows == 1
    assert (asked[0].place, asked[0].labels, asked[0].label_format) == ("/x", "/y.csv", "fairface")
    with pytest.raises(UsageError, match=r"^`labels` and `label_format` go with `images`"):
        EvaluateOptions(manifest="/m", output="/o", label_format="fairface").scoring()


def test_pictures_with_several_labels_are_not_read_as_wholes(untrained: Bundle) -> None:
    labels = Rows("m", manifest(("a", 20, 0.0), ("a", 60, 200.0), ("b", 30, 0.0)))
    options = score_options(output="o", faces="crop")
    with pytest.raises(UsageError) as error:
        evaluation.evaluate(options, untrained, labels)
    assert str(error.value) == (
        "`faces` crop takes each image as one face, and the labels in m outnumber its images by 1: "
        "give `faces` detect"
    )
