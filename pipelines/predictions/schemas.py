"""What scoring writes: the schemas of predictions and quarantine, and how they are read back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model import labels, statistics
from model.calibration import AGE_BINS, AgeBins
from pipelines.predictions import layout
from pipelines.storage import tables

_DICTIONARY = pa.dictionary(pa.int8(), pa.string())

PREDICTIONS_SCHEMA = pa.schema(
    [
        tables.field("uri", pa.string(), "the image"),
        tables.field(
            "age_years", pa.float32(), "predicted age, 0-116; null without an age head", "years"
        ),
        tables.field(
            "age_low_years",
            pa.float32(),
            "lower end of the age interval; null without calibration",
            "years",
        ),
        tables.field(
            "age_high_years",
            pa.float32(),
            "upper end; the interval holds the age of 90 % of people, or what was asked for",
            "years",
        ),
        tables.field(
            "age_group",
            _DICTIONARY,
            "age_years in bins, or the likeliest class of a head for them",
        ),
        tables.field("gender", _DICTIONARY, "female where p_female >= 0.5, else male"),
        tables.field("p_female", pa.float32(), "probability of female, calibrated, 0-1"),
        tables.field("width", pa.int32(), "width of the upright picture", "pixels"),
        tables.field("height", pa.int32(), "height of the upright picture", "pixels"),
        tables.field(
            "brightness", pa.float32(), "mean of the pixels as the network sees them", "0-255"
        ),
        tables.field("contrast", pa.float32(), "standard deviation of those pixels", "0-255"),
        tables.field("sharpness", pa.float32(), "mean difference of neighbouring pixels", "0-255"),
        tables.field("bundle_id", pa.dictionary(pa.int8(), pa.string()), "which network said so"),
    ]
)
QUARANTINE_SCHEMA = pa.schema(
    [
        tables.field("uri", pa.string(), "the input that could not be scored"),
        tables.field("stage", pa.string(), "where it failed: list, read or decode"),
        tables.field("error", pa.string(), "class of the error, to group by"),
        tables.field("message", pa.string(), "what happened, as a sentence"),
        tables.field("bytes", pa.int64(), "size of the file", "bytes"),
    ]
)


def predictions_table(
    uris: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    columns: Mapping[str, npt.NDArray[np.float32]],
    bundle_id: str,
    age_bins: AgeBins = "decades",
) -> pa.Table:
    """Rows of `PREDICTIONS_SCHEMA`.

    Args:
        uris: n of them.
        sizes: (width, height) of each, pixels.
        columns: of `Predictor.answers` and `statistics.image_statistics`, float32 (n,).
        bundle_id: stands in every row.
        age_bins: what `age_group` is an index of.
    """
    count = len(uris)
    age_group = pa.nulls(count, _DICTIONARY)
    if "age_group" in columns:
        index = pa.array(columns["age_group"].astype(np.int8))
        names = labels.bin_names(AGE_BINS[age_bins])
        age_group = pa.DictionaryArray.from_arrays(index, pa.array(names))
    p_female = columns.get("p_female")
    gender = pa.nulls(count, _DICTIONARY)
    if p_female is not None:
        index: Any = pa.array(np.asarray(p_female >= 0.5, np.int8), pa.int8())
        gender = pa.DictionaryArray.from_arrays(index, pa.array(labels.GENDERS))
    width, height = np.asarray(sizes, dtype=np.int32).reshape(count, 2).T
    one_bundle = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(count, dtype=np.int8), pa.int8()), pa.array([bundle_id])
    )
    arrays = {
        "uri": pa.array(uris, pa.string()),
        "age_years": _or_null(columns.get("age_years"), count),
        "age_low_years": _or_null(columns.get("age_low_years"), count),
        "age_high_years": _or_null(columns.get("age_high_years"), count),
        "age_group": age_group,
        "gender": gender,
        "p_female": _or_null(p_female, count),
        "width": pa.array(width),
        "height": pa.array(height),
        **{name: _or_null(columns.get(name), count) for name in statistics.INPUTS[:3]},
        "bundle_id": one_bundle,
    }
    return pa.Table.from_arrays(list(arrays.values()), schema=PREDICTIONS_SCHEMA)


def _or_null(values: npt.NDArray[np.float32] | None, count: int) -> Any:
    return pa.nulls(count, pa.float32()) if values is None else pa.array(values, pa.float32())


def read_predictions(output: str) -> pa.Table:
    """All predictions of a finished or running job, in manifest order."""
    return _read(layout.path(output, layout.PREDICTIONS), PREDICTIONS_SCHEMA)


def read_quarantine(output: str) -> pa.Table:
    """All quarantine rows of a finished or running job."""
    return _read(layout.path(output, layout.QUARANTINE), QUARANTINE_SCHEMA)


def _read(uri: str, schema: pa.Schema) -> pa.Table:
    files = tables.list_parquet(uri)
    return tables.concat([tables.read_table(file) for file in files], schema).unify_dictionaries()
