"""The table of labels that may be wrong and what it finds, from answers made up."""

import re
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.predictions.label_issues import (
    LABEL_ISSUES_SCHEMA,
    conflicting_duplicates_of,
    label_issues,
)
from pipelines.predictions.out_of_fold import OUT_OF_FOLD_SCHEMA


def answers(count: int = 200) -> pa.Table:
    """Good answers to labels of which numbers 3 (gender), 5 (age) and 7 (both) are wrong."""
    rng = np.random.default_rng(1)
    age = rng.integers(5, 80, count).astype(float)
    female = rng.random(count) < 0.5
    labelled = age.copy()
    labelled[[5, 7]] = (age[[5, 7]] + 50) % 90
    named = female.copy()
    named[[3, 7]] = ~female[[3, 7]]
    said = age + rng.normal(0, 2, count)
    rows: list[dict[str, Any]] = [
        {
            "uri": f"/faces/{n:03d}.jpg", "fold": n % 3, "bundle_id": f"b{n % 3}",
            "age_years": said[n], "age_low_years": said[n] - 4, "age_high_years": said[n] + 4,
            "p_female": 0.97 if female[n] else 0.03, "true_age_years": labelled[n],
            "true_gender": "female" if named[n] else "male",
        }
        for n in range(count)
    ]  # fmt: skip
    # 5 and 8 are one picture with two ages, of 20 and 21 only the gender is torn.
    for first, second in ((5, 8), (20, 21)):
        rows[first]["duplicate_group"] = rows[second]["duplicate_group"] = f"g{first}"
    rows[21]["true_age_years"] = rows[20]["true_age_years"]
    rows[20]["true_gender"], rows[21]["true_gender"] = "female", "male"
    rows[8]["true_gender"] = rows[5]["true_gender"]
    return pa.Table.from_pylist(rows, schema=OUT_OF_FOLD_SCHEMA)


def test_wrong_labels_come_first_and_copies_that_contradict_each_other_are_among_them() -> None:
    found = label_issues(answers())
    assert found.column_names == LABEL_ISSUES_SCHEMA.names
    assert found["rank"].to_pylist() == list(range(1, found.num_rows + 1))
    rows = found.to_pylist()
    wrong = {("gender", 3), ("gender", 7), ("age", 5), ("age", 7)}
    first = {(row["label"], int(row["uri"][7:10])) for row in rows[:8]}
    assert wrong <= first
    torn = {(row["label"], row["duplicate_group"]) for row in rows if row["copies_say"]}
    assert torn == {("age", "g5"), ("gender", "g20")}
    told = next(row for row in rows if row["copies_say"] and row["label"] == "gender")
    assert told["copies_say"] == "female, male"
    assert re.fullmatch(r"(fe)?male, 97.0%", told["answered"])
    groups = conflicting_duplicates_of(found)
    assert groups["duplicate_group"].to_list() == ["g5", "g20"]
    assert groups["rank"].to_list()[0] <= 8
    assert groups["years"].to_list()[0] > 10 and np.isnan(groups["years"].to_list()[1])


def test_labels_that_are_unknown_are_no_suspects() -> None:
    table = answers()
    for name in ("true_gender", "age_years"):
        place = table.column_names.index(name)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array([None] * table.num_rows, field.type))
    assert label_issues(table).num_rows == 0
