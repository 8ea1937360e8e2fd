"""What scoring writes: the schemas of predictions and quarantine, and how they are read back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from model import labels, statistics
from model.calibration import AGE_BINS, AgeBins
from model.errors import UsageError
from pipelines.images.batches import Crop
from pipelines.predictions import frozen_inputs, layout
from pipelines.storage import tables

_DICTIONARY = pa.dictionary(pa.int8(), pa.string())

PREDICTIONS_SCHEMA = pa.schema(
    [
        tables.field("uri", pa.string(), "the image"),
        tables.field(
            "face",
            pa.int32(),
            "number of the face in the image: 0 the largest, 1, …; null for a face crop",
        ),
        tables.field("faces", pa.int32(), "faces of the image that have rows"),
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
            "upper end; the interval holds the true age of 90 % of people, or as requested",
            "years",
        ),
        tables.field(
            "age_group",
            _DICTIONARY,
            "age group of age_years, or the most probable class of an age-group head",
        ),
        tables.field("gender", _DICTIONARY, "female where p_female >= 0.5, else male"),
        tables.field("p_female", pa.float32(), "probability of female, calibrated, 0-1"),
        tables.field("width", pa.int32(), "width of the upright image", "pixels"),
        tables.field("height", pa.int32(), "height of the upright image", "pixels"),
        tables.field("brightness", pa.float32(), "mean of the network's input pixels", "0-255"),
        tables.field("contrast", pa.float32(), "standard deviation of those pixels", "0-255"),
        tables.field("sharpness", pa.float32(), "mean difference of neighbouring pixels", "0-255"),
        tables.field("face_score", pa.float32(), "detector score of the face, 0-1"),
        tables.field(
            "face_left", pa.float32(), "left edge of the face box in the upright image", "pixels"
        ),
        tables.field("face_top", pa.float32(), "top edge of the face box", "pixels"),
        tables.field("face_width", pa.float32(), "width of the face box", "pixels"),
        tables.field("face_height", pa.float32(), "height of the face box", "pixels"),
        tables.field(
            "face_landmarks",
            pa.list_(pa.float32()),
            "x and y of the left eye, right eye, nose, left "
            "and right corner of the mouth, left and right as seen in the upright image",
            "pixels",
        ),
        tables.field("eye_distance_px", pa.float32(), "distance of the eyes", "pixels"),
        tables.field(
            "roll_degrees", pa.float32(), "roll of the head, clockwise, -180 to 180", "degrees"
        ),
        tables.field(
            "bundle_id",
            pa.dictionary(pa.int8(), pa.string()),
            "id of the bundle that made the prediction",
        ),
    ]
)
FACE_COLUMNS = (
    "face", "faces", "face_score", "face_left", "face_top", "face_width", "face_height",
    "face_landmarks", "eye_distance_px", "roll_degrees",
)  # fmt: skip
COLUMNS = tuple(PREDICTIONS_SCHEMA.names)
AGE_DISTRIBUTION = "age_distribution"
OPTIONAL_SCHEMA = pa.schema(  # columns that a run has if it is asked for them
    [
        tables.field(
            AGE_DISTRIBUTION,
            pa.list_(pa.float16(), labels.MAX_AGE_YEARS + 1),
            "probability of each age from 0 to 116 years, not calibrated; their sum is 1 within "
            "0.001, their mean is age_years",
        )
    ]
)
# Of runs that were begun before images were searched for faces; such a run keeps its columns.
COLUMNS_BEFORE_FACES = tuple(name for name in COLUMNS if name not in FACE_COLUMNS)
QUARANTINE_SCHEMA = pa.schema(
    [
        tables.field("uri", pa.string(), "the input that could not be scored"),
        tables.field("stage", pa.string(), "where it failed: list, read, decode or detect"),
        tables.field("error", pa.string(), "short code of the error, to group by"),
        tables.field("message", pa.string(), "what happened, as a sentence"),
        tables.field("bytes", pa.int64(), "size of the file", "bytes"),
    ]
)


def require_free_names(names: Sequence[str]) -> None:
    """Refuse columns of a source that cannot stand beside those of the predictions.

    Raises:
        UsageError: one is called like one of these or of the frozen list, or is named twice.
    """
    taken = {*COLUMNS, *OPTIONAL_SCHEMA.names, *frozen_inputs.INPUT_COLUMNS, frozen_inputs.UNIT}
    for name in names:
        if name in taken:
            raise UsageError(
                f"`passthrough` {name}: facemill writes a column of this name; rename yours"
            )
        if names.count(name) > 1:
            raise UsageError(f"`passthrough` {','.join(names)} names {name} twice")


def with_passthrough(predictions: pa.Table, inputs: pa.Table) -> pa.Table:
    """Predictions with what a shard of the frozen list has beside its own columns, by uri."""
    names = [name for name in inputs.column_names if name not in frozen_inputs.INPUT_COLUMNS]
    if not names:
        return predictions
    rows: Any = pc.index_in(predictions["uri"], value_set=inputs["uri"])
    kept = inputs.select(names).take(rows)
    for name in names:
        predictions = predictions.append_column(inputs.schema.field(name), kept[name])
    return predictions


def schema_of(names: Sequence[str]) -> pa.Schema:
    """The schema of predictions with these columns, of both schemas."""
    optional = OPTIONAL_SCHEMA.names
    return pa.schema(
        [(OPTIONAL_SCHEMA if n in optional else PREDICTIONS_SCHEMA).field(n) for n in names]
    )


def predictions_table(
    crops: Sequence[Crop],
    columns: Mapping[str, npt.NDArray[np.float32]],
    bundle_id: str,
    age_bins: AgeBins = "decades",
    names: Sequence[str] = COLUMNS,
) -> pa.Table:
    """Rows of predictions.

    Args:
        crops: n of them.
        columns: of `Predictor.answers` and `statistics.image_statistics`, float32 (n,).
        bundle_id: stands in every row.
        age_bins: what `age_group` is an index of.
        names: of the columns, of `PREDICTIONS_SCHEMA` and `OPTIONAL_SCHEMA`.
    """
    count = len(crops)
    age_group = pa.nulls(count, _DICTIONARY)
    if "age_group" in columns:
        index = pa.array(columns["age_group"].astype(np.int8))
        groups = labels.bin_names(AGE_BINS[age_bins])
        age_group = pa.DictionaryArray.from_arrays(index, pa.array(groups))
    p_female = columns.get("p_female")
    gender = pa.nulls(count, _DICTIONARY)
    if p_female is not None:
        index: Any = pa.array(np.asarray(p_female >= 0.5, np.int8), pa.int8())
        gender = pa.DictionaryArray.from_arrays(index, pa.array(labels.GENDERS))
    one_bundle = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(count, dtype=np.int8), pa.int8()), pa.array([bundle_id])
    )
    arrays = {
        "uri": pa.array([crop.uri for crop in crops], pa.string()),
        "age_years": _or_null(columns.get("age_years"), count),
        "age_low_years": _or_null(columns.get("age_low_years"), count),
        "age_high_years": _or_null(columns.get("age_high_years"), count),
        "age_group": age_group,
        "gender": gender,
        "p_female": _or_null(p_female, count),
        "width": pa.array([crop.width for crop in crops], pa.int32()),
        "height": pa.array([crop.height for crop in crops], pa.int32()),
        **{name: _or_null(columns.get(name), count) for name in statistics.INPUTS[:3]},
        **_face_arrays(crops),
        "bundle_id": one_bundle,
    }
    if AGE_DISTRIBUTION in names:
        mass: Any = pa.array(columns[AGE_DISTRIBUTION].astype(np.float16).ravel())
        width = labels.MAX_AGE_YEARS + 1
        arrays[AGE_DISTRIBUTION] = pa.FixedSizeListArray.from_arrays(mass, width)
    return pa.Table.from_arrays([arrays[name] for name in names], schema=schema_of(names))


def _face_arrays(crops: Sequence[Crop]) -> dict[str, Any]:
    """The columns of `FACE_COLUMNS`, null where an image was scored whole."""
    count = len(crops)
    if not count or crops[0].face is None:
        kinds = {name: PREDICTIONS_SCHEMA.field(name).type for name in FACE_COLUMNS}
        return {name: pa.nulls(count, kind) for name, kind in kinds.items()}
    faces = [crop.face for crop in crops if crop.face is not None]
    numbers = {
        "face_score": [face.score for face in faces],
        "face_left": [face.left for face in faces],
        "face_top": [face.top for face in faces],
        "face_width": [face.width for face in faces],
        "face_height": [face.height for face in faces],
        "eye_distance_px": [face.eye_distance_px for face in faces],
        "roll_degrees": [face.roll_degrees for face in faces],
    }
    return {
        "face": pa.array([crop.number for crop in crops], pa.int32()),
        "faces": pa.array([crop.count for crop in crops], pa.int32()),
        "face_landmarks": pa.array([face.points for face in faces], pa.list_(pa.float32())),
        **{name: pa.array(values, pa.float32()) for name, values in numbers.items()},
    }


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
