"""Evaluation: score a labelled split and measure it, with bootstrap intervals."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from model import labels, metrics
from model.bundle import Bundle
from model.calibration import AGE_BINS, Reading
from model.errors import ManifestError
from model.predictor import Precision
from model.views import Views
from pipelines import manifest, predictions, scoring, storage, tables
from pipelines.scoring import Scored, ScoreOptions

EVALUATION_SCHEMA = pa.schema(
    [
        *predictions.PREDICTIONS_SCHEMA,
        tables.field("true_age_years", pa.float32(), "labelled age", "years"),
        tables.field("true_gender", pa.dictionary(pa.int8(), pa.string()), "labelled gender"),
        tables.field("race", pa.dictionary(pa.int8(), pa.string()), "labelled race"),
        tables.field("age_error_years", pa.float32(), "predicted minus labelled age", "years"),
        tables.field("gender_correct", pa.bool_(), "predicted gender is the labelled one"),
    ]
)
_DEFAULT = Reading()


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Metrics with intervals, and the scoring run behind them."""

    metrics: dict[str, metrics.Estimate]
    scored: Scored


def evaluate(
    bundle: Bundle,
    rows: pa.Table,
    source: str,
    output: str,
    precision: Precision = "float32",
    reading: Reading = _DEFAULT,
    views: Views = 1,
) -> Evaluation:
    """Score `rows` and compare with their labels.

    Args:
        bundle: the network.
        rows: labelled manifest rows, see `manifest.labelled`.
        source: where they come from, for the record.
        output: gets predictions/, quarantine/, evaluation.parquet and metrics.json.
        precision: of the network's body.
        reading: the binning of the age groups.
        views: of each image, whose outputs are averaged.

    Raises:
        ManifestError: not one of the images could be scored.
    """
    options = ScoreOptions(source, "table", output, precision, reading=reading, views=views)
    scored = scoring.score(options, bundle, rows)
    predicted: Any = predictions.read_predictions(output).to_pandas()
    if predicted.empty:
        raise ManifestError(f"none of the {rows.num_rows} images could be scored: see {output}")
    truth: Any = rows.select(["uri", "age_years", "gender", "race"]).to_pandas()
    truth = truth.rename(columns={"age_years": "true_age_years", "gender": "true_gender"})
    joined = predicted.merge(truth, on="uri", how="left", validate="one_to_one")
    joined["age_error_years"] = joined["age_years"] - joined["true_age_years"]
    agree = joined["gender"].astype(object) == joined["true_gender"].astype(object)
    joined["gender_correct"] = agree.where(joined["gender"].notna() & joined["true_gender"].notna())
    table = pa.Table.from_pandas(joined, schema=EVALUATION_SCHEMA, preserve_index=False)
    tables.write_table(storage.join(output, "evaluation.parquet"), table)
    estimates = metrics.evaluate(
        table["true_age_years"].to_numpy(),
        table["age_years"].to_numpy(),
        _codes(table["true_gender"], labels.GENDERS),
        table["p_female"].to_numpy(),
    )
    bins = AGE_BINS[reading.age_bins]
    estimates |= metrics.evaluate_groups(
        table["true_age_years"].to_numpy(), _codes(table["age_group"], labels.bin_names(bins)), bins
    )
    tables.write_json(
        storage.join(output, "metrics.json"),
        {
            "format": 1,
            "bundle_id": bundle.id,
            "bundle": bundle.name,
            "source": source,
            "manifest_fingerprint": manifest.fingerprint(rows),
            "images": table.num_rows,
            "quarantined": scored.record["quarantined"],
            "precision": precision,
            "views": views,
            "age_bins": reading.age_bins,
            "interval": "bootstrap 95 %, percentile",
            "metrics": {name: dataclasses.asdict(value) for name, value in estimates.items()},
        },
    )
    return Evaluation(estimates, scored)


def _codes(column: Any, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The place of each value in `names`, NaN where null."""
    code = {name: float(index) for index, name in enumerate(names)}
    return np.array([code.get(value, np.nan) for value in column.to_pylist()])
