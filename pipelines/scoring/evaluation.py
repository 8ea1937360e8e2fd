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
from pipelines import storage
from pipelines.manifests import manifest
from pipelines.predictions import schemas
from pipelines.scoring import run
from pipelines.scoring.run import Scored, ScoreOptions
from pipelines.storage import tables
from pipelines.telemetry.phases import phase, run_id

EVALUATION_SCHEMA = pa.schema(
    [
        *schemas.PREDICTIONS_SCHEMA,
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


def evaluate(bundle: Bundle, rows: pa.Table, options: ScoreOptions) -> Evaluation:
    """Score `rows` and compare with their labels.

    Args:
        bundle: the network.
        rows: labelled manifest rows, see `manifest.labelled`.
        options: of the scoring, of kind `table`; below its output there will be predictions/,
            quarantine/, evaluation.parquet and metrics.json.

    Raises:
        ManifestError: not one of the images could be scored.
    """
    output, reading = options.output, options.reading
    scored = run.score(options, bundle, rows)
    predicted: Any = schemas.read_predictions(output).to_pandas()
    if predicted.empty:
        raise ManifestError(f"none of the {rows.num_rows} images could be scored: see {output}")
    with phase("measure") as facts:
        table = _joined(predicted, rows)
        tables.write_table(storage.join(output, "evaluation.parquet"), table)
        estimates = _measure(table, reading)
        facts["images"] = table.num_rows
    tables.write_json(
        storage.join(output, "metrics.json"),
        {
            "format": 1,
            "run_id": run_id(),
            "bundle_id": bundle.id,
            "bundle": bundle.name,
            "source": options.source,
            "manifest_fingerprint": manifest.fingerprint(rows),
            "images": table.num_rows,
            "quarantined": scored.record["quarantined"],
            "precision": scored.record["precision"],
            "views": options.views,
            "age_bins": reading.age_bins,
            "interval": "bootstrap 95 %, percentile",
            "metrics": {name: dataclasses.asdict(value) for name, value in estimates.items()},
        },
    )
    return Evaluation(estimates, scored)


def _joined(predicted: Any, rows: pa.Table) -> pa.Table:
    """Predictions beside labels: rows of `EVALUATION_SCHEMA`."""
    truth: Any = rows.select(["uri", "age_years", "gender", "race"]).to_pandas()
    truth = truth.rename(columns={"age_years": "true_age_years", "gender": "true_gender"})
    joined = predicted.merge(truth, on="uri", how="left", validate="one_to_one")
    joined["age_error_years"] = joined["age_years"] - joined["true_age_years"]
    agree = joined["gender"].astype(object) == joined["true_gender"].astype(object)
    joined["gender_correct"] = agree.where(joined["gender"].notna() & joined["true_gender"].notna())
    return pa.Table.from_pandas(joined, schema=EVALUATION_SCHEMA, preserve_index=False)


def _measure(table: pa.Table, reading: Reading) -> dict[str, metrics.Estimate]:
    """All metrics of an evaluation's rows."""
    true_age, bins = table["true_age_years"].to_numpy(), AGE_BINS[reading.age_bins]
    estimates = metrics.evaluate(
        true_age,
        table["age_years"].to_numpy(),
        _codes(table["true_gender"], labels.GENDERS),
        table["p_female"].to_numpy(),
    )
    group = _codes(table["age_group"], labels.bin_names(bins))
    return estimates | metrics.evaluate_groups(true_age, group, bins)


def _codes(column: Any, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The place of each value in `names`, NaN where null."""
    code = {name: float(index) for index, name in enumerate(names)}
    return np.array([code.get(value, np.nan) for value in column.to_pylist()])
