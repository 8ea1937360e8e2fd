"""Labels beside predicted rows: one table that evaluation, report and card measure."""

import functools
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.manifests.manifest import BOX
from pipelines.manifests.matching import match_labels
from pipelines.predictions.schemas import PREDICTIONS_SCHEMA
from pipelines.storage import tables

_DICTIONARY = pa.dictionary(pa.int8(), pa.string())
LABELLED_SCHEMA = pa.schema(
    [
        *PREDICTIONS_SCHEMA,
        tables.field(
            "true_age_years", pa.float32(), "labelled age; null if the label is a range", "years"
        ),
        tables.field("true_age_low_years", pa.float32(), "lowest age of that range", "years"),
        tables.field("true_age_high_years", pa.float32(), "highest age of that range", "years"),
        tables.field("true_gender", _DICTIONARY, "labelled gender"),
        tables.field("race", _DICTIONARY, "labelled race"),
        tables.field("age_error_years", pa.float32(), "predicted minus labelled age", "years"),
        tables.field("gender_correct", pa.bool_(), "predicted gender is the labelled one"),
    ]
)
# Column of a manifest -> column beside predictions.
TRUTH = {
    "age_years": "true_age_years", "age_low_years": "true_age_low_years",
    "age_high_years": "true_age_high_years", "gender": "true_gender", "race": "race",
}  # fmt: skip


def with_labels(predicted: pa.Table, labelled: pa.Table) -> pa.Table:
    """Predictions beside their labels; null beside faces that no label means.

    Args:
        predicted: rows of predictions, of faces or of face crops: all faces of each image.
        labelled: labelled rows of a manifest; those of face crops one an image. For faces the rule
            of `matching` says whose each label is.

    Returns:
        Rows of `LABELLED_SCHEMA` in the order of `predicted`.
    """
    rows: Any = predicted.to_pandas()
    truth: Any = labelled.select(["uri", *BOX, *TRUTH]).to_pandas().rename(columns=TRUTH)
    if predicted["face"].null_count == predicted.num_rows:
        place = pd.Series(np.arange(len(rows)), rows["uri"])
        at = truth["uri"].map(place).fillna(-1).to_numpy(int)
    else:
        image = {"uri": "image"}
        at = match_labels(rows.rename(columns=image), truth.rename(columns=image))["face"]
        at = at.to_numpy(int)
    beside = truth[list(TRUTH.values())][at >= 0].set_axis(at[at >= 0]).reindex(range(len(rows)))
    is_range = beside["true_age_low_years"].notna()
    beside["true_age_years"] = beside["true_age_years"].mask(is_range)  # its middle is no label
    rows = pd.concat([rows, beside], axis=1)
    rows["age_error_years"] = rows["age_years"] - rows["true_age_years"]
    agree = rows["gender"].astype(object) == rows["true_gender"].astype(object)
    rows["gender_correct"] = agree.where(rows["gender"].notna() & rows["true_gender"].notna())
    return pa.Table.from_pandas(rows, schema=LABELLED_SCHEMA, preserve_index=False)


def has_label(table: pa.Table) -> Any:
    """Which rows of `LABELLED_SCHEMA` have a label; an Arrow mask (n,)."""
    names = ("true_age_years", "true_age_low_years", "true_gender")
    return functools.reduce(pc.or_, [pc.is_valid(table[name]) for name in names])


def labels_of_crops(labels: pd.DataFrame, key: str) -> pd.DataFrame:
    """The labels that count where each image is one face crop: one an image, or none.

    Args:
        labels: with the columns of `BOX`; one without a box counts before those with one.
        key: column that identifies the image.
    """
    boxed = labels[BOX[0]].notna()
    of_image = labels[~boxed]
    others = labels[boxed & ~labels[key].isin(of_image[key])]
    return pd.concat([of_image, others]).drop_duplicates(key, keep=False)
