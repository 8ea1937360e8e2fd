"""Every figure that labels allow, from predictions beside their labels."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from model import labels, metrics, quality
from pipelines.predictions import figures
from pipelines.predictions.figures import LabelledRows
from pipelines.reporting import face_bins
from pipelines.reporting.label_join import Labelled

Measured = tuple[dict[str, metrics.Estimate], dict[str, Any]]  # metrics, and curves and tables


def measure(labelled: Labelled) -> dict[str, Any]:
    """All figures of the quality and subgroup sections, as plain data."""
    rows = figures.of_table(labelled.table)
    estimates = figures.estimates(rows) | figures.coverage(rows)
    curves: dict[str, Any] = {}
    for measured, more in (_measure_age(rows), _measure_gender(rows)):
        estimates |= measured
        curves |= more
    return {
        "unit": "faces" if labelled.of_faces else "images",
        "labelled": labelled.matched,
        "without_face": labelled.without_face,
        "measured_on": len(rows),
        "one_in": labelled.one_in,
        "splits": labelled.rows["split"].fillna("none").value_counts().to_dict(),
        **curves,
        **_coverage_by_age(rows),
        "metrics": figures.plain(estimates),
        **_subgroups(rows),
        "by_face": _by_face(labelled.rows, rows) if labelled.of_faces else {},
    }


def _measure_age(rows: LabelledRows) -> Measured:
    """How far ages are off."""
    known = ~np.isnan(rows.age_error)
    if not known.any():
        return {}, {}
    age, true_age, error = (
        values[known] for values in (rows["age_years"], rows["true_age_years"], rows.age_error)
    )
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


def _measure_gender(rows: LabelledRows) -> Measured:
    """How true the probabilities of female are, and how well they tell the two apart."""
    known = ~np.isnan(rows.gender_hit)
    if not known.any():
        return {}, {}
    p, truth = rows["p_female"][known], rows["true_female"][known] > 0.5
    return {"gender_ece": quality.calibration_error(p, truth)}, {
        "reliability": quality.reliability(p, truth),
        "roc": quality.roc(p, truth),
    }


def _coverage_by_age(rows: LabelledRows) -> dict[str, Any]:
    """How often the labelled age is inside its interval, by labelled and by predicted age."""
    covered = rows.covered
    known = ~np.isnan(covered)
    if not known.any():
        return {}
    return {
        f"coverage_by_{name}_age": _by_decade(rows[column][known], covered[known])
        for name, column in (("true", "true_age_years"), ("predicted", "age_years"))
    }


def _subgroups(rows: LabelledRows) -> dict[str, Any]:
    """Cells of age band x gender x race, each of the three alone, and the gaps."""
    present = {name: text for name, text in figures.groups(rows).items() if (text != "").any()}
    crossed = figures.cells(rows, present) if present else ()
    alone = {name: figures.cells(rows, {name: text}) for name, text in present.items()}
    gaps = {
        f"{name}.{measured}": quality.gap(cells, measured)
        for name, cells in {**alone, "all": crossed}.items()
        for measured in ("age_mae", "gender_accuracy", "coverage")
    }
    return {
        "subgroups": [figures.as_json(cell) for cell in crossed],
        "groups": {
            name: [figures.as_json(cell) for cell in cells] for name, cells in alone.items()
        },
        "gaps": {name: gap for name, gap in gaps.items() if gap},
    }


def _by_face(faces: pd.DataFrame, rows: LabelledRows) -> dict[str, Any]:
    """Cells of small to large faces, of upright to turned ones, of doubtful to sure ones."""
    binned = dict[str, Any]()
    for bins in face_bins.OF_FACES:
        index = faces[bins.column].fillna(-1).to_numpy(int)
        names = np.array([*bins.names, ""])[index]  # -1, unknown, is the last
        cells = figures.cells(rows, {bins.column: names})
        ordered = sorted(cells, key=lambda cell: bins.names.index(cell.group[bins.column]))
        binned[bins.column] = [figures.as_json(cell) for cell in ordered]
    return binned


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
