"""Out-of-fold answers: of every labelled image by the network of its fold, which did not see it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from model import labels
from model.heads import Head
from pipelines.manifests import manifest
from pipelines.manifests.manifest import BOX
from pipelines.predictions.figures import codes
from pipelines.predictions.raw_predictions import (
    INT8,
    REFERENCE,
    RawPredictions,
    bins_of,
    labels_of_predicted,
)
from pipelines.storage import tables

_YEARS = labels.MAX_AGE_YEARS + 1
_DICTIONARY = pa.dictionary(pa.int8(), pa.string())
_PICTURE = ("width", "height", "brightness", "contrast", "sharpness")

OUT_OF_FOLD_SCHEMA = pa.schema(
    [
        tables.field("uri", pa.string(), "the image"),
        *(manifest.MANIFEST_SCHEMA.field(name) for name in BOX),
        tables.field(
            "fold",
            pa.int32(),
            "fold of the image: predicted by the network that was trained without it",
        ),
        manifest.MANIFEST_SCHEMA.field("duplicate_group"),
        manifest.MANIFEST_SCHEMA.field("label_conflict"),
        tables.field("age_years", pa.float32(), "predicted age, 0-116", "years"),
        tables.field(
            "age_low_years",
            pa.float32(),
            "lower end of the 90 % interval, whose margins come from the other folds",
            "years",
        ),
        tables.field("age_high_years", pa.float32(), "upper end", "years"),
        tables.field(
            "age_group", _DICTIONARY, "age group of age_years, or the most probable class of a head"
        ),
        tables.field("gender", _DICTIONARY, "female where p_female >= 0.5, else male"),
        tables.field(
            "p_female", pa.float32(), "probability of female, calibrated on the other folds, 0-1"
        ),
        tables.field("p_female_raw", pa.float32(), "the same before calibration"),
        tables.field(
            "age_years_int8",
            pa.float32(),
            "predicted age of the fold's int8 network; null without one",
            "years",
        ),
        tables.field("p_female_raw_int8", pa.float32(), "probability of that network, 0-1"),
        tables.field(
            "age_distribution_int8",
            pa.list_(pa.float32(), _YEARS),
            "probability of each age from 0 to 116 years, of that network",
        ),
        tables.field(
            "age_distribution",
            pa.list_(pa.float32(), _YEARS),
            "probability of each age from 0 to 116 years; null without such a head",
        ),
        tables.field("width", pa.int32(), "width of the upright image", "pixels"),
        tables.field("height", pa.int32(), "height of the upright image", "pixels"),
        tables.field("brightness", pa.float32(), "mean of the network's input pixels", "0-255"),
        tables.field("contrast", pa.float32(), "standard deviation of those pixels", "0-255"),
        tables.field("sharpness", pa.float32(), "mean difference of neighbouring pixels", "0-255"),
        tables.field(
            "bundle_id", pa.dictionary(pa.int8(), pa.string()), "bundle of the fold's network"
        ),
        tables.field(
            "true_age_years", pa.float32(), "labelled age; null where it is a range", "years"
        ),
        tables.field("true_gender", _DICTIONARY, "labelled gender"),
        tables.field("race", _DICTIONARY, "labelled race"),
    ]
)


def of_one_fold(raw: RawPredictions, fold: int, bundle_id: str) -> pa.Table:
    """What one fold's network says, as rows whose calibrated columns are null.

    Args:
        raw: predictions of the network, and of its int8 network if it has one.
        fold: of these images.
        bundle_id: of the network.
    """
    columns: dict[str, Any] = {name: raw.rows[name] for name in raw.rows.column_names}
    columns |= {name: raw.statistics[name] for name in _PICTURE}
    columns |= {"fold": np.full(len(raw), fold), "bundle_id": [bundle_id] * len(raw)}
    for suffix, precision in (("", REFERENCE), ("_int8", INT8)):
        said = raw.outputs.get(precision, {})
        columns[f"age_years{suffix}"] = said.get("age_years")
        columns[f"p_female_raw{suffix}"] = said.get("p_female")
        columns[f"age_distribution{suffix}"] = said.get("age_distribution")
    if "age_group" in raw.outputs[REFERENCE]:
        columns["age_group"] = _names(raw.outputs[REFERENCE]["age_group"], _group_names(raw.heads))
    return _as_table(columns, len(raw))


def joined(parts: Sequence[pa.Table], heads: Sequence[Head]) -> pa.Table:
    """The rows of all folds in the order of their uris, each calibrated on the other folds' rows.

    Args:
        parts: of `of_one_fold`.
        heads: of the networks.
    """
    table = pa.concat_tables(map(conformed, parts)).combine_chunks()
    table = table.sort_by([("uri", "ascending"), *((name, "ascending") for name in BOX)])
    raw, fold = raw_predictions(table, heads), table["fold"].to_numpy()
    result = {
        name: np.full(table.num_rows, np.nan, np.float32)
        for name in ("p_female", "age_group", "age_low_years", "age_high_years")
    }
    for index in np.unique(fold):
        mine = fold == index
        fitted = raw.where(~mine).fit({})[REFERENCE]
        calibrated = raw.where(mine).calibrated(fitted)
        for name in result.keys() & calibrated.keys():
            result[name][mine] = calibrated[name]
    female = result["p_female"]
    gender = np.where(np.isnan(female), np.nan, female >= 0.5)
    groups = _names(result.pop("age_group"), _group_names(heads))
    texts = {"age_group": groups, "gender": _names(gender, labels.GENDERS)}
    return _as_table({**_columns(table), **result, **texts}, table.num_rows)


def conformed(table: pa.Table) -> pa.Table:
    """Rows of this or an earlier version as `OUT_OF_FOLD_SCHEMA`: what they lack is null."""
    return _as_table(_columns(table), table.num_rows)


def apart(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """One row of each label, and the rest: see `manifest.labelled_already`."""
    again = manifest.labelled_already(table)
    return table.filter(pa.array(~again)), table.filter(pa.array(again))


def raw_predictions(table: pa.Table, heads: Sequence[Head]) -> RawPredictions:
    """The uncalibrated predictions of rows; of int8 networks where every fold has one.

    Args:
        table: of `OUT_OF_FOLD_SCHEMA`.
        heads: of the networks.
    """
    pictures = {name: table[name].to_numpy().astype(np.float64) for name in _PICTURE}
    float32, int8 = dict[str, Any](), dict[str, Any]()
    for name, raw in (("age_years", "age_years"), ("p_female", "p_female_raw")):
        if table[raw].null_count < table.num_rows:
            float32[name], int8[name] = (table[n].to_numpy() for n in (raw, f"{raw}_int8"))
    has_int8 = not any(np.isnan(values).any() for values in int8.values())
    if table["age_group"].null_count < table.num_rows:
        float32["age_group"] = codes(table["age_group"], _group_names(heads))
    outputs = {REFERENCE: float32} | ({INT8: int8} if has_int8 else {})
    for columns, name in ((float32, "age_distribution"), (int8, "age_distribution_int8")):
        lists: Any = table[name].combine_chunks()
        if not lists.null_count:
            columns["age_distribution"] = lists.flatten().to_numpy().reshape(-1, _YEARS)
    return RawPredictions(labels_of_predicted(table), pictures, outputs, heads)


def _group_names(heads: Sequence[Head]) -> tuple[str, ...]:
    return labels.bin_names(bins_of(heads) or labels.DECADES)


def _names(code: Any, names: Sequence[str]) -> list[str | None]:
    return [None if np.isnan(value) else names[int(value)] for value in code]


def _columns(table: pa.Table) -> dict[str, Any]:
    return {name: table[name] for name in table.column_names}


def _as_table(columns: Mapping[str, Any], count: int) -> pa.Table:
    """Columns as rows of `OUT_OF_FOLD_SCHEMA`; absent ones, NaN and None are null."""
    arrays = [_array(columns.get(field.name), field.type, count) for field in OUT_OF_FOLD_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=OUT_OF_FOLD_SCHEMA)


def _array(values: Any, kind: pa.DataType, count: int) -> Any:
    if values is None:
        return pa.array([None] * count, kind)
    if isinstance(values, pa.ChunkedArray | pa.Array):
        return values.cast(kind)
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode().cast(kind)
    if pa.types.is_fixed_size_list(kind):
        flat = np.asarray(values, np.float32).ravel()
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), _YEARS)
    return pa.array(np.asarray(values), from_pandas=True).cast(kind)
