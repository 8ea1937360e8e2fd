"""Out-of-fold answers: of every labelled image by the network of its fold, which did not see it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model import calibration, labels
from model.calibration import AGE_BINS, Reading
from model.heads import Head
from pipelines.manifests import manifest, splits
from pipelines.manifests.manifest import BOX
from pipelines.predictions.figures import codes
from pipelines.storage import tables

Floats = npt.NDArray[np.floating[Any]]
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


def of_one_fold(
    columns: Mapping[str, Floats],
    rows: pa.Table,
    fold: int,
    bundle_id: str,
    heads: Sequence[Head],
    int8: Mapping[str, Floats] | None = None,
) -> pa.Table:
    """What one fold's network says, as rows whose calibrated columns are null.

    Args:
        columns: of `heads.read_out` and of the images, as the network gives them; shape (n, …).
        rows: n rows of a manifest.
        fold: their fold.
        bundle_id: of the network.
        heads: of the network.
        int8: what its int8 network says, if it has one.
    """
    raw: dict[str, Any] = {name: columns[name] for name in _PICTURE}
    raw["age_years"] = columns.get("age_years")
    raw["p_female_raw"] = columns.get("p_female")
    raw["age_years_int8"] = (int8 or {}).get("age_years")
    raw["p_female_raw_int8"] = (int8 or {}).get("p_female")
    for name, said in (("age_distribution", columns), ("age_distribution_int8", int8 or {})):
        if "age_distribution" in said:
            flat = np.asarray(said["age_distribution"], np.float32).ravel()
            raw[name] = pa.FixedSizeListArray.from_arrays(pa.array(flat), _YEARS)
    if "age_group" in columns:
        raw["age_group"] = _names(columns["age_group"], labels.bin_names(_bins(heads)))
    raw["true_age_years"] = manifest.exact_ages(rows)
    raw["fold"] = np.full(rows.num_rows, fold)
    raw["bundle_id"] = [bundle_id] * rows.num_rows
    truth = {"true_gender": "gender"}
    arrays: list[Any] = []
    for column in OUT_OF_FOLD_SCHEMA:
        values = raw.get(column.name)
        if values is None and column.name not in raw:
            source = truth.get(column.name, column.name)
            known = source in rows.column_names and column.name not in ("age_group", "gender")
            values = rows[source] if known else None
        arrays.append(_array(values, column.type, rows.num_rows))
    return pa.Table.from_arrays(arrays, schema=OUT_OF_FOLD_SCHEMA)


def joined(parts: Sequence[pa.Table], heads: Sequence[Head]) -> pa.Table:
    """The rows of all folds in the order of their uris, each calibrated on the other folds' rows.

    Args:
        parts: of `of_one_fold`.
        heads: of the networks.
    """
    table = pa.concat_tables(map(conformed, parts)).combine_chunks()
    table = table.sort_by([("uri", "ascending"), *((name, "ascending") for name in BOX)])
    columns, fold = raw_columns(table), table["fold"].to_numpy()
    age, female = (truth(table, name) for name in ("age_years", "gender"))
    count, pictures = table.num_rows, splits.pictures_shown(table)
    result = {
        name: np.full(count, np.nan, np.float32)
        for name in ("p_female", "age_group", "age_low_years", "age_high_years")
    }
    reading = Reading(age_bins=calibration.own_bins(heads) or "decades")
    for index in np.unique(fold):
        mine, others = fold == index, fold != index
        taken = _taken(columns, others)
        fitted = calibration.fit(taken, age[others], female[others], pictures=pictures[others])
        calibrated = calibration.apply(_taken(columns, mine), fitted, reading, heads)
        for name in result:
            if name in calibrated:
                result[name][mine] = calibrated[name]
    known = ~np.isnan(result["p_female"])
    gender = np.where(known, result["p_female"] >= 0.5, np.nan)
    return _with(
        table,
        {
            **{name: result[name] for name in ("p_female", "age_low_years", "age_high_years")},
            "age_group": _names(result["age_group"], labels.bin_names(_bins(heads))),
            "gender": _names(gender, labels.GENDERS),
        },
    )


def conformed(table: pa.Table) -> pa.Table:
    """Rows of this or an earlier version as `OUT_OF_FOLD_SCHEMA`: what they lack is null."""
    arrays: list[Any] = [
        table[column.name]
        if column.name in table.column_names
        else pa.nulls(table.num_rows, column.type)
        for column in OUT_OF_FOLD_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=OUT_OF_FOLD_SCHEMA)


def apart(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """One row of each label, and the rest: see `manifest.labelled_already`."""
    again = manifest.labelled_already(table)
    return table.filter(pa.array(~again)), table.filter(pa.array(again))


def int8_columns(table: pa.Table) -> dict[str, Any] | None:
    """The uncalibrated answers of the int8 networks; None where a fold has none.

    Args:
        table: of `OUT_OF_FOLD_SCHEMA`.
    """
    columns: dict[str, Any] = {}
    for name, raw in (("age_years", "age_years"), ("p_female", "p_female_raw")):
        if table[raw].null_count < table.num_rows:
            columns[name] = table[f"{raw}_int8"].to_numpy()
    if any(np.isnan(values).any() for values in columns.values()):
        return None
    return columns | _distributions(table, "age_distribution_int8")


def raw_columns(table: pa.Table) -> dict[str, Any]:
    """The uncalibrated answers, as `calibration.fit` takes them; what no head says is absent.

    Args:
        table: of `OUT_OF_FOLD_SCHEMA`.
    """
    columns: dict[str, Any] = {}
    for name, column in (("age_years", "age_years"), ("p_female", "p_female_raw")):
        if table[column].null_count < table.num_rows:
            columns[name] = table[column].to_numpy()
    if table["age_group"].null_count < table.num_rows:
        columns["age_group"] = codes(table["age_group"], _group_names(table))
    return columns | _distributions(table, "age_distribution")


def _distributions(table: pa.Table, column: str) -> dict[str, Any]:
    """A column of them as `age_distribution`, shape (n, 117); nothing where it is null."""
    lists: Any = table[column].combine_chunks()
    if lists.null_count:
        return {}
    return {"age_distribution": lists.flatten().to_numpy().reshape(-1, _YEARS)}


def truth(table: pa.Table, label: str) -> npt.NDArray[np.float64]:
    """A label's codes: `age_years` in years, `gender` 1 for female; NaN where unknown."""
    if label == "age_years":
        return table["true_age_years"].to_numpy().astype(np.float64)
    return codes(table["true_gender"], labels.GENDERS)


def bins_of(heads: Sequence[Head]) -> labels.Bins | None:
    """The bins of an age-group head, or None."""
    own = calibration.own_bins(heads)
    return AGE_BINS[own] if own else None


def _bins(heads: Sequence[Head]) -> labels.Bins:
    return bins_of(heads) or labels.DECADES


def _group_names(table: pa.Table) -> tuple[str, ...]:
    """The names of the binning that the table's age groups are in."""
    decades = labels.bin_names(labels.DECADES)
    present = {*table["age_group"].to_pylist()} - {None}
    return decades if present <= {*decades} else labels.bin_names(labels.LEVI_HASSNER)


def _names(code: Floats, names: Sequence[str]) -> list[str | None]:
    return [None if np.isnan(value) else names[int(value)] for value in code]


def _taken(columns: Mapping[str, Any], rows: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return {name: values[rows] for name, values in columns.items()}


def _with(table: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    """The table with some columns in place of its own."""
    arrays: list[Any] = [
        _array(columns[column.name], column.type, table.num_rows)
        if column.name in columns
        else table[column.name]
        for column in OUT_OF_FOLD_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=OUT_OF_FOLD_SCHEMA)


def _array(values: Any, kind: pa.DataType, count: int) -> Any:
    """Values as a column of a type; NaN and None are null."""
    if values is None:
        return pa.array([None] * count, kind)
    if isinstance(values, pa.ChunkedArray | pa.Array):
        return values.cast(kind)
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode().cast(kind)
    return pa.array(np.asarray(values), from_pandas=True).cast(kind)
