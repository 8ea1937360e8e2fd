"""Every figure that labels allow, measured in one place for all who report figures.

All of it is read from rows of predictions beside their labels (see `labelling`). Columns are
float64 of shape (n,), NaN where a prediction or a label is missing; ages are in years.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model import age_ranges, baselines, labels, metrics, quality
from model.metrics import Estimate
from pipelines.manifests.splits import pictures_shown

Floats = npt.NDArray[np.floating[Any]]
_PREDICTED = ("age_years", "age_low_years", "age_high_years", "p_female")
_TRUE = ("true_age_years", "true_age_low_years", "true_age_high_years")


@dataclasses.dataclass(frozen=True)
class LabelledRows:
    """Predictions beside their labels.

    Attributes:
        columns: `age_years`, `age_low_years`, `age_high_years`, `p_female`, `age_group` (the index
            in `bins`), `true_age_years` (NaN where the label is a range), `true_age_low_years`,
            `true_age_high_years` and `true_female` (1 female, 0 male).
        texts: `gender` and `race` as labelled, '' where unknown; text (n,).
        bins: of the age groups; None where the network has no head for them and nobody asked.
        images: names (n,) that copies of an image share, as they are no independent evidence;
            None: each row is an image of its own.
    """

    columns: Mapping[str, Floats]
    texts: Mapping[str, npt.NDArray[np.str_]]
    bins: labels.Bins | None = None
    images: npt.NDArray[np.str_] | None = None

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.columns["true_female"])

    def __getitem__(self, name: str) -> Floats:
        """A column; all NaN where there is none."""
        absent = np.full(len(self), np.nan)
        return self.columns.get(name, absent)

    def where(self, rows: npt.NDArray[np.bool_]) -> "LabelledRows":
        """Some of the rows."""
        return LabelledRows(
            {name: values[rows] for name, values in self.columns.items()},
            {name: values[rows] for name, values in self.texts.items()},
            self.bins,
            None if self.images is None else self.images[rows],
        )

    @property
    def age_error(self) -> Floats:
        """Predicted minus labelled age."""
        return self["age_years"] - self["true_age_years"]

    @property
    def gender_hit(self) -> Floats:
        """1 where the predicted gender is the labelled one, else 0."""
        p, female = self["p_female"], self["true_female"]
        return np.where(np.isnan(p) | np.isnan(female), np.nan, (p >= 0.5) == (female > 0.5))

    @property
    def covered(self) -> Floats:
        """1 where the interval holds the labelled age, else 0."""
        age, low, high = (self[n] for n in ("true_age_years", "age_low_years", "age_high_years"))
        return np.where(np.isnan(age) | np.isnan(low), np.nan, (low <= age) & (age <= high))


def of_table(
    table: pa.Table,
    bins: labels.Bins | None = None,
    images: npt.NDArray[np.str_] | None = None,
) -> LabelledRows:
    """Rows of a table with columns of predictions, `true_…` columns and `race`.

    Args:
        table: of `labelling.LABELLED_SCHEMA` or `out_of_fold.OUT_OF_FOLD_SCHEMA`, or with some of
            these columns.
        bins: of its age groups.
        images: see `LabelledRows`; by default those of `duplicate_group`, where there is one.
    """
    names = {*table.column_names}
    columns = {
        name: table[name].to_numpy().astype(np.float64)
        for name in (*_PREDICTED, *_TRUE)
        if name in names
    }
    columns["true_female"] = codes(table["true_gender"], labels.GENDERS)
    if bins and "age_group" in names:
        columns["age_group"] = codes(table["age_group"], labels.bin_names(bins))
    texts = {
        name: np.array([value or "" for value in table[column].to_pylist()], dtype=str)
        for name, column in (("gender", "true_gender"), ("race", "race"))
        if column in names
    }
    if images is None and "duplicate_group" in names:
        images = pictures_shown(table)
    return LabelledRows(columns, texts, bins, images)


def codes(column: Any, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """The place of each text of an Arrow column in `names`, NaN where null."""
    code = {name: float(index) for index, name in enumerate(names)}
    return np.array([code.get(value, np.nan) for value in column.to_pylist()], dtype=np.float64)


def estimates(rows: LabelledRows) -> dict[str, Estimate]:
    """All metrics that predictions and labels allow, each with its bootstrap 95 % interval.

    Those of `metrics.measure` and, of labels that are ranges of ages, of `age_ranges.measure`.
    """
    age, female = rows["true_age_years"], rows["true_female"]
    measured = metrics.measure(rows.columns, age, female, rows.bins, rows.images)
    low, high = rows["true_age_low_years"], rows["true_age_high_years"]
    return measured | age_ranges.measure(rows["age_years"], low, high)


def coverage(rows: LabelledRows) -> dict[str, Estimate]:
    """`age_coverage`, the share of intervals that hold the labelled age, with Wilson's interval."""
    known = rows.covered[~np.isnan(rows.covered)]
    return {"age_coverage": quality.share(known > 0.5)} if len(known) else {}


def constants(rows: LabelledRows) -> baselines.Constants:
    """What constant answers would score on the same labels."""
    constant = baselines.constants(rows["true_age_years"], rows["true_female"], rows.bins)
    ranges = (rows["true_age_low_years"], rows["true_age_high_years"])
    return baselines.with_ranges(constant, *ranges)


def groups(rows: LabelledRows) -> dict[str, npt.NDArray[np.str_]]:
    """The labelled age band, gender and race of each row, '' where unknown; text (n,)."""
    age = rows["true_age_years"]
    bands = np.array(labels.bin_names(labels.DECADES))
    band = bands[labels.bin_of(np.nan_to_num(age), labels.DECADES)]
    return {"age": np.where(np.isnan(age), "", band), **rows.texts}


def cells(rows: LabelledRows, by: Mapping[str, npt.NDArray[np.str_]]) -> tuple[quality.Cell, ...]:
    """Each combination of groups with its figures, the worst mean age error first."""
    measured = {
        "age_error": rows.age_error, "gender_hit": rows.gender_hit, "covered": rows.covered,
    }  # fmt: skip
    return tuple(quality.cells(measured, by, images=rows.images))


def as_json(cell: quality.Cell) -> dict[str, Any]:
    """A cell as plain data."""
    return {**dataclasses.asdict(cell), "small": cell.small}


def plain(estimated: Mapping[str, Estimate]) -> dict[str, Any]:
    """Estimates as plain data, by name."""
    return {name: dataclasses.asdict(value) for name, value in estimated.items()}
