"""Every figure that labels allow, from predictions beside their labels."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from model import labels, metrics, quality
from pipelines.reporting import face_bins
from pipelines.reporting.label_join import Labelled

Measured = tuple[dict[str, metrics.Estimate], dict[str, Any]]  # metrics, and curves and tables


def measure(labelled: Labelled) -> dict[str, Any]:
    """All figures of the quality and subgroup sections, as plain data."""
    rows = labelled.rows
    age, true_age, p = (rows[n].to_numpy(float) for n in ("age_years", "true_age", "p_female"))
    female = rows["true_gender"].map({"male": 0.0, "female": 1.0}).to_numpy(float)
    covered = _covered(rows)
    estimates = metrics.evaluate(true_age, age, female, p)
    curves: dict[str, Any] = {}
    for measured, more in (
        _measure_age(age, true_age),
        _measure_gender(p, female),
        _measure_intervals(covered, age, true_age),
    ):
        estimates |= measured
        curves |= more
    hit = np.where(np.isnan(p) | np.isnan(female), np.nan, (p >= 0.5) == (female > 0.5))
    columns = {"age_error": age - true_age, "gender_hit": hit, "covered": covered}
    return {
        "unit": "faces" if labelled.of_faces else "images",
        "labelled": labelled.matched,
        "without_face": labelled.without_face,
        "measured_on": len(rows),
        "one_in": labelled.one_in,
        "splits": rows["split"].fillna("none").value_counts().to_dict(),
        **curves,
        "metrics": {name: dataclasses.asdict(value) for name, value in estimates.items()},
        **_subgroups(rows, columns),
        "by_face": _by_face(rows, columns) if labelled.of_faces else {},
    }


def _covered(rows: pd.DataFrame) -> Any:
    """Whether each interval holds the true age: 1, 0, or NaN where one of the two is missing."""
    true_age, low, high = (
        rows[n].to_numpy(float) for n in ("true_age", "age_low_years", "age_high_years")
    )
    unknown = np.isnan(low) | np.isnan(true_age)
    return np.where(unknown, np.nan, (low <= true_age) & (true_age <= high))


def _measure_age(age: Any, true_age: Any) -> Measured:
    """How far ages are off."""
    known = ~(np.isnan(age) | np.isnan(true_age))
    if not known.any():
        return {}, {}
    age, true_age = age[known], true_age[known]
    error = age - true_age
    within = {f"age_within_{years}": quality.share(np.abs(error) <= years) for years in (3, 10)}
    confusion = {
        name: {
            "groups": list(labels.bin_names(bins)),
            "counts": quality.confusion(true_age, age, bins),
        }
        for name, bins in (("decades", labels.DECADES), ("adience", labels.LEVI_HASSNER))
    }
    return within, {
        "cumulative_score": quality.cumulative_score(error),
        "density": _density(true_age, age),
        "confusion": confusion,
    }


def _measure_gender(p: Any, female: Any) -> Measured:
    """How true the probabilities of female are, and how well they tell the two apart."""
    known = ~(np.isnan(p) | np.isnan(female))
    if not known.any():
        return {}, {}
    p, truth = p[known], female[known] > 0.5
    return {"gender_ece": quality.calibration_error(p, truth)}, {
        "reliability": quality.reliability(p, truth),
        "roc": quality.roc(p, truth),
    }


def _measure_intervals(covered: Any, age: Any, true_age: Any) -> Measured:
    """How often the true age is inside its interval."""
    known = ~np.isnan(covered)
    if not known.any():
        return {}, {}
    return {"age_coverage": quality.share(covered[known] > 0.5)}, {
        "coverage_by_true_age": _by_decade(true_age[known], covered[known]),
        "coverage_by_predicted_age": _by_decade(age[known], covered[known]),
    }


def _subgroups(rows: pd.DataFrame, columns: dict[str, Any]) -> dict[str, Any]:
    """Cells of age band x gender x race, each of the three alone, and the gaps."""
    true_age = rows["true_age"].to_numpy(float)
    names = np.array(labels.bin_names(labels.DECADES))
    band = names[labels.bin_of(np.nan_to_num(true_age), labels.DECADES)]
    groups: dict[str, Any] = {
        "age": np.where(np.isnan(true_age), "", band),
        "gender": rows["true_gender"].fillna("").to_numpy(str),
        "race": rows["race"].fillna("").to_numpy(str),
    }
    present = {name: values for name, values in groups.items() if (values != "").any()}
    crossed = quality.cells(columns, present) if present else []
    alone = {name: quality.cells(columns, {name: present[name]}) for name in present}
    gaps = {
        f"{name}.{measured}": quality.gap(cells, measured)
        for name, cells in {**alone, "all": crossed}.items()
        for measured in ("age_mae", "gender_accuracy", "coverage")
    }
    return {
        "subgroups": [_cell(cell) for cell in crossed],
        "groups": {name: [_cell(cell) for cell in cells] for name, cells in alone.items()},
        "gaps": {name: gap for name, gap in gaps.items() if gap},
    }


def _by_face(rows: pd.DataFrame, columns: dict[str, Any]) -> dict[str, Any]:
    """Cells of small to large faces, of upright to turned ones, of doubtful to sure ones."""
    binned = dict[str, Any]()
    for bins in face_bins.OF_FACES:
        index = bins.index_of(rows[bins.column].to_numpy(float))
        names = np.array([*bins.names, ""])[index]  # -1, unknown, is the last
        cells = quality.cells(columns, {bins.column: names})
        cells.sort(key=lambda cell: bins.names.index(cell.group[bins.column]))
        binned[bins.column] = [_cell(cell) for cell in cells]
    return binned


def _cell(cell: quality.Cell) -> dict[str, Any]:
    return {**dataclasses.asdict(cell), "small": cell.small}


def _by_decade(age: Any, covered: Any) -> list[dict[str, Any]]:
    """Coverage of each decade with its Wilson interval."""
    band = labels.bin_of(age, labels.DECADES)
    return [
        {"group": name, **dataclasses.asdict(quality.share(covered[band == index] > 0.5))}
        for index, name in enumerate(labels.bin_names(labels.DECADES))
        if (band == index).any()
    ]


def _density(true_age: Any, age: Any) -> list[list[int]]:
    """Images by true (row) and predicted (column) age in steps of five years, 0 to 100+."""
    size = 100 // quality.DENSITY_YEARS + 1
    index = [
        np.minimum(values // quality.DENSITY_YEARS, size - 1).astype(int)
        for values in (true_age, age)
    ]
    return np.bincount(index[0] * size + index[1], minlength=size * size).reshape(size, -1).tolist()
