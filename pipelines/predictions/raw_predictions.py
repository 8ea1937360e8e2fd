"""Labelled images and what networks say of them before calibration: fitted and measured here alone.

The splits of a training, the val split of jobs.calibrate and the out-of-fold rows of a
cross-validation are all this one record.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model import calibration, labels, statistics
from model.backends.acceptance import compare
from model.calibration import AGE_BINS, Reading
from model.heads import Head
from pipelines.manifests import manifest
from pipelines.manifests.manifest import BOX
from pipelines.predictions import figures
from pipelines.predictions.figures import LabelledRows
from pipelines.predictions.labelling import TRUTH

REFERENCE, INT8 = "float32", "int8"  # keys of `RawPredictions.outputs`
_MIDDLE = "true_age_or_middle_years"


@dataclasses.dataclass(frozen=True)
class RawPredictions:
    """What networks say of n labelled images, uncalibrated.

    Attributes:
        rows: which images these are and their labels, of `labels_of`.
        statistics: of the images, columns of shape (n,).
        outputs: precision -> columns of `Predictor.predict`, shape (n, …); may be empty.
        heads: of the network.
        sample: some of the images, spread over them; uint8 (k, height, width, channels), or None.
    """

    rows: pa.Table
    statistics: Mapping[str, Any]
    outputs: Mapping[str, Mapping[str, Any]]
    heads: Sequence[Head] = ()
    sample: Any = None

    def __len__(self) -> int:
        """The number of rows."""
        return self.rows.num_rows

    def where(self, some: npt.NDArray[np.bool_]) -> "RawPredictions":
        """Some of the rows."""

        def taken(columns: Mapping[str, Any]) -> dict[str, Any]:
            return {name: values[some] for name, values in columns.items()}

        outputs = {precision: taken(columns) for precision, columns in self.outputs.items()}
        rows = self.rows.filter(pa.array(some))
        return RawPredictions(rows, taken(self.statistics), outputs, self.heads)

    @property
    def once(self) -> "RawPredictions":
        """One row of each label, to be measured."""
        return self.where(~manifest.labelled_already(self.rows))

    def fit(self, source: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Calibration of each precision, as bundle.json has it.

        The age intervals of all are the reference's: their bounds are whole years, so a fit of its
        own may move a precision's coverage by a point where its answers move it by a tenth.

        Args:
            source: what it is fitted on, to be written beside it.
        """
        truth = figures.of_table(self.rows)
        fits: dict[str, dict[str, Any]] = {}
        for precision, columns in self.outputs.items():
            fit = calibration.fit(
                columns, truth["true_age_years"], truth["true_female"], pictures=truth.images
            )
            age = fits[REFERENCE]["age"] if fits else fit["age"]
            fits[precision] = {**fit, "age": age, **source}
        return fits

    def calibrated(self, fitted: Mapping[str, Any], precision: str = REFERENCE) -> dict[str, Any]:
        """The columns of a precision under a calibration; none where nothing has answered."""
        columns = self.outputs.get(precision)
        if not columns:
            return {}
        by_distribution = (fitted.get("age") or {}).get("method") == "cqr"
        if by_distribution and "age_distribution" not in columns:  # int8 rows of 0.1.0
            fitted = {**fitted, "age": None}
        reading = Reading(age_bins=calibration.own_bins(self.heads) or "decades")
        return calibration.apply(columns, fitted, reading, self.heads)

    def labelled(self, fitted: Mapping[str, Any]) -> LabelledRows:
        """The reference's predictions under its calibration, beside the labels."""
        rows = figures.of_table(self.rows, bins_of(self.heads))
        predicted = {n: v for n, v in self.calibrated(fitted).items() if v.ndim == 1}
        return dataclasses.replace(rows, columns={**predicted, **rows.columns})

    def profile(self, fitted: Mapping[str, Any]) -> dict[str, Any]:
        """Histograms of inputs and calibrated outputs, for drift."""
        counts = statistics.profile({**self.statistics, **self.calibrated(fitted)})
        return {"images": len(self), **counts}

    def int8_change(self, fitted: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """How much worse int8 predicts than the reference: of `acceptance.compare`."""
        both = [self.calibrated(fitted[precision], precision) for precision in (REFERENCE, INT8)]
        shared = both[0].keys() & both[1].keys()
        reference, int8 = ({name: columns[name] for name in shared} for columns in both)
        age: Any = self.rows[_MIDDLE].to_numpy()
        return compare(reference, int8, age, figures.of_table(self.rows)["true_female"])


def labels_of(rows: pa.Table) -> pa.Table:
    """Which images the rows of a manifest are, and their labels by the names of `TRUTH`.

    Ages that are ranges are null in `true_age_years`; another column has their middle.
    """
    kept = ("uri", *BOX, "duplicate_group", "label_conflict", *TRUTH)
    named: Any = rows.select(kept).rename_columns([TRUTH.get(name, name) for name in kept])
    ages = pa.array(manifest.exact_ages(rows), from_pandas=True)
    place = named.column_names.index("true_age_years")
    exact = named.set_column(place, "true_age_years", ages)
    return exact.append_column(_MIDDLE, rows["age_years"])


def labels_of_predicted(table: pa.Table) -> pa.Table:
    """The same of rows that hold predictions too, whose ages are never ranges."""
    kept = [
        name
        for name in ("uri", *BOX, "duplicate_group", "label_conflict", *TRUTH.values())
        if name in table.column_names
    ]
    return table.select(kept).append_column(_MIDDLE, table["true_age_years"])


def bins_of(heads: Sequence[Head]) -> labels.Bins | None:
    """The bins of an age-group head, or None."""
    own = calibration.own_bins(heads)
    return AGE_BINS[own] if own else None
