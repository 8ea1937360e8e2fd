"""Labels that may be wrong: implausible by out-of-fold predictions, or conflicting duplicates."""

from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from model import label_errors, labels
from pipelines.manifests.manifest import BOX
from pipelines.predictions import figures
from pipelines.predictions.out_of_fold import OUT_OF_FOLD_SCHEMA
from pipelines.storage import tables

Label = Literal["age", "gender"]
LABELS: tuple[Label, ...] = ("age", "gender")
_DICTIONARY = pa.dictionary(pa.int8(), pa.string())

LABEL_ISSUES_SCHEMA = pa.schema(
    [
        tables.field("rank", pa.int32(), "1 for the least plausible label of all"),
        tables.field("uri", pa.string(), "the image"),
        *(OUT_OF_FOLD_SCHEMA.field(name) for name in BOX),
        tables.field("label", _DICTIONARY, "the label in question: age or gender"),
        tables.field("labelled", pa.string(), "value of the label"),
        tables.field(
            "answered", pa.string(), "prediction of a network that was not trained on the image"
        ),
        tables.field(
            "plausibility",
            pa.float32(),
            "gender: probability of the label; age: share of all labels that are as far from their "
            "prediction, in halves of their intervals; 0-1",
        ),
        tables.field(
            "implausible",
            pa.bool_(),
            "flagged by confident learning (gender), or outside the interval (age)",
        ),
        tables.field("copies_say", pa.string(), "labels of byte-identical files, else null"),
        OUT_OF_FOLD_SCHEMA.field("fold"),
        OUT_OF_FOLD_SCHEMA.field("duplicate_group"),
        OUT_OF_FOLD_SCHEMA.field("bundle_id"),
    ]
)


def label_issues(table: pa.Table) -> pa.Table:
    """All labels that are implausible or that a copy contradicts, the least plausible first.

    Args:
        table: of `OUT_OF_FOLD_SCHEMA`, calibrated.

    Returns:
        Rows of `LABEL_ISSUES_SCHEMA`: one a label, so an image may have two.
    """
    names = ["uri", *BOX, "fold", "duplicate_group", "bundle_id"]
    rows: Any = table.select(names).to_pandas()
    rows["bundle_id"] = rows["bundle_id"].astype(object)
    parts = [_of_label(table, rows, label) for label in LABELS]
    found: Any = pd.concat(parts, ignore_index=True)
    found = found.sort_values(["plausibility", "uri", "label"], kind="stable", ignore_index=True)
    found["rank"] = np.arange(1, len(found) + 1)
    return pa.Table.from_pandas(found, schema=LABEL_ISSUES_SCHEMA, preserve_index=False)


def _of_label(table: pa.Table, rows: pd.DataFrame, label: Label) -> pd.DataFrame:
    beside = figures.of_table(table)
    if label == "gender":
        truth = beside["true_female"]
        plausible, implausible = label_errors.gender(beside["p_female"], truth)
        labelled = [labels.GENDERS[int(t)] if t == t else "" for t in truth]
        answered = [
            f"{labels.GENDERS[int(p >= 0.5)]}, {max(p, 1 - p):.1%}" if p == p else ""
            for p in beside["p_female"]
        ]
    else:
        truth = beside["true_age_years"]
        age, low, high = (beside[f"age_{part}years"] for part in ("", "low_", "high_"))
        plausible, implausible = label_errors.age(age, low, high, truth)
        labelled = [f"{t:g}" if t == t else "" for t in truth]
        answered = [
            f"{a:.0f}" + (f" ({lo:.0f} to {hi:.0f})" if lo == lo else "")
            for a, lo, hi in zip(age, low, high, strict=True)
        ]
    made = rows.assign(
        label=label, labelled=labelled, answered=answered, plausibility=plausible,
        implausible=implausible, copies_say=_copies_say(rows["duplicate_group"], labelled),
    )  # fmt: skip
    known = made["plausibility"].notna()
    return made[known & (made["implausible"] | made["copies_say"].notna())]


def _copies_say(group: pd.Series, labelled: list[str]) -> pd.Series:
    """All labels of a group of copies that contradict each other; None elsewhere."""
    known = pd.Series(labelled, index=group.index).where(lambda text: text != "")
    in_group = known.groupby(group)
    torn = in_group.transform("nunique") > 1
    told = in_group.transform(lambda texts: ", ".join(sorted(texts.dropna())))
    return told.where(torn, None)


def conflicting_duplicates_of(table: pa.Table) -> pd.DataFrame:
    """Groups of copies whose labels contradict each other, by when the ranking comes to them.

    Such a group surely holds a wrong label, and the ranking does not know of it: its recall.

    Args:
        table: of `LABEL_ISSUES_SCHEMA`.

    Returns:
        A row for each label and group: those of its first label_issue, and `years` between the ages
        (NaN for gender).
    """
    rows: Any = table.to_pandas()
    torn = rows[rows["copies_say"].notna()].sort_values("rank")
    torn = torn.drop_duplicates(["label", "duplicate_group"], ignore_index=True)
    apart = [
        np.ptp([float(age) for age in row.copies_say.split(", ")]) if row.label == "age" else np.nan
        for row in torn.itertuples()
    ]
    return torn.assign(years=np.array(apart, dtype=float))
