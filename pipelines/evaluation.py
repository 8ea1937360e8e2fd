"""Evaluation: score a labelled split and measure it, with bootstrap intervals."""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from model import metrics
from model.bundle import Bundle
from model.errors import ManifestError
from model.predictor import Precision
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


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Metrics with intervals, and the scoring run behind them."""

    metrics: dict[str, metrics.Estimate]
    scored: Scored


def evaluate(
    bundle: Bundle, rows: pa.Table, source: str, output: str, precision: Precision = "float32"
) -> Evaluation:
    """Score `rows` and compare with their labels.

    Args:
        bundle: the network.
        rows: labelled manifest rows, see `manifest.labelled`.
        source: where they come from, for the record.
        output: gets predictions/, quarantine/, evaluation.parquet and metrics.json.
        precision: of the network's body.

    Raises:
        ManifestError: not one of the images could be scored.
    """
    scored = scoring.score(ScoreOptions(source, "table", output, precision), bundle, rows)
    predicted: Any = predictions.read_predictions(output).to_pandas()
    if predicted.empty:
        raise ManifestError(f"none of the {rows.num_rows} images could be scored: see {output}")
    labels: Any = rows.select(["uri", "age_years", "gender", "race"]).to_pandas()
    labels = labels.rename(columns={"age_years": "true_age_years", "gender": "true_gender"})
    joined = predicted.merge(labels, on="uri", how="left", validate="one_to_one")
    joined["age_error_years"] = joined["age_years"] - joined["true_age_years"]
    agree = joined["gender"].astype(object) == joined["true_gender"].astype(object)
    joined["gender_correct"] = agree.where(joined["gender"].notna() & joined["true_gender"].notna())
    table = pa.Table.from_pandas(joined, schema=EVALUATION_SCHEMA, preserve_index=False)
    tables.write_table(storage.join(output, "evaluation.parquet"), table)
    estimates = metrics.evaluate(
        table["true_age_years"].to_numpy(),
        table["age_years"].to_numpy(),
        _female(table["true_gender"]),
        table["p_female"].to_numpy(),
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
            "interval": "bootstrap 95 %, percentile",
            "metrics": {name: dataclasses.asdict(value) for name, value in estimates.items()},
        },
    )
    return Evaluation(estimates, scored)


def _female(column: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    code = {"male": 0.0, "female": 1.0}
    return np.array([code.get(value, np.nan) for value in column.to_pylist()])
