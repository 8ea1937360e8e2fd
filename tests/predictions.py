"""Made-up prediction tables for tests that need many rows and no network."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model.labels import DECADES, GENDERS, bin_names, bin_of
from pipelines.predictions.schemas import PREDICTIONS_SCHEMA
from pipelines.storage import tables


def random_predictions(seed: int, count: int, **columns: Any) -> pa.Table:
    """Rows of PREDICTIONS_SCHEMA with a few nulls; `columns` replace what is drawn."""
    rng = np.random.default_rng(seed)
    age = (rng.beta(1.6, 2.4, count) * 110).astype(np.float32)
    p_female = rng.beta(0.5, 0.5, count).astype(np.float32)
    half = (4 + age / 5).astype(np.float32)
    names, bundle = np.array(bin_names(DECADES)), "0123456789abcdef"
    values: dict[str, Any] = {
        "uri": [f"/faces/{'abc'[i % 3]}/{i:06d}.jpg" for i in range(count)],
        "age_years": pa.array(age, mask=rng.random(count) < 0.02),
        "age_low_years": np.maximum(age - half, 0),
        "age_high_years": np.minimum(age + half, 116),
        "age_group": names[bin_of(age, DECADES)].tolist(),
        "gender": np.array(GENDERS)[(p_female >= 0.5).astype(int)].tolist(),
        "p_female": p_female,
        "width": rng.integers(8, 3000, count),
        "height": rng.integers(8, 3000, count),
        "brightness": rng.uniform(0, 255, count),
        "contrast": rng.uniform(0, 127.5, count),
        "sharpness": rng.gamma(6, 2, count),
        "bundle_id": [bundle] * count,
        **columns,
    }
    arrays = [
        pa.array(values[field.name]).cast(field.type)
        if field.name in values
        else pa.nulls(count, field.type)
        for field in PREDICTIONS_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=PREDICTIONS_SCHEMA)


def random_faces(seed: int, pictures: int, **columns: Any) -> pa.Table:
    """Predictions of pictures with 1 to 12 faces, mostly one; `columns` replace what is drawn."""
    rng = np.random.default_rng(seed)
    crowds = np.minimum(rng.geometric(0.5, pictures), 12)
    count = int(crowds.sum())
    face = np.concatenate([np.arange(n) for n in crowds])
    largest, ratio = rng.uniform(30, 400, pictures), rng.uniform(0.4, 0.95, pictures)
    # Face 0 is the largest, as detection numbers them.
    width = np.repeat(largest, crowds) * np.repeat(ratio, crowds) ** face
    side = np.repeat(rng.integers(400, 4000, pictures), crowds)
    values: dict[str, Any] = {
        "uri": np.repeat([f"/photos/{'ab'[i % 2]}/{i:06d}.jpg" for i in range(pictures)], crowds),
        "face": face,
        "faces": np.repeat(crowds, crowds),
        "width": side,
        "height": side // 2 + 8,
        "face_score": rng.uniform(0.5, 0.97, count),
        "face_left": 500.0 * face,
        "face_top": np.full(count, 20.0),
        "face_width": width,
        "face_height": 1.25 * width,
        "face_landmarks": [[float(x) for x in range(10)]] * count,
        "eye_distance_px": 0.45 * width,
        "roll_degrees": rng.normal(0, 25, count).clip(-180, 180),
    }
    return random_predictions(seed, count, **{**values, **columns})


def write_predictions(folder: Path | str, *parts: pa.Table) -> str:
    """Write parts as `folder`/predictions/shard-N.parquet."""
    for number, part in enumerate(parts):
        tables.write_table(f"{folder}/predictions/shard-{number:05d}.parquet", part)
    return str(folder)
