"""Labels beside predictions: the join, and every figure that a label allows."""

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from model import labels, metrics, quality
from model.errors import UsageError
from pipelines.manifests import manifest
from pipelines.manifests.labels.table import read_labels_file
from pipelines.predictions import prediction_files
from pipelines.predictions.prediction_files import PredictionFiles
from pipelines.reporting import summary

MOST_ROWS = 200_000  # beyond it a sample by uri hash: its intervals are under 0.02 years wide
_BASE_NAME = "regexp_replace({}, '^.*(/|[.]tar#)', '')"
_RELATIVE = "substr({{}}, {})"  # from behind the folder and its slash
_COLUMNS = ("age_years", "p_female", "age_low_years", "age_high_years")
DENSITY_YEARS = 5


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Predictions with labels, a row an image, and how many there were before sampling."""

    rows: pd.DataFrame
    matched: int
    one_in: int


def join_labels(source: PredictionFiles, uri: str, split: str | None = None) -> Labelled:
    """Predictions that have a label: by uri, else by path below the run's --images, else by name.

    A base name must be unique on both sides: a label of `1.jpg` says nothing of `a/1.jpg` where
    there is a `b/1.jpg`.

    Args:
        source: the predictions.
        uri: a manifest, or a CSV with path, age, gender and maybe race.
        split: only this split of the manifest.

    Raises:
        UsageError: no label matches; the message shows one uri of each side.
    """
    if uri.endswith(".csv"):
        known = read_labels_file(uri).rename(columns={"path": "uri"})
    else:
        columns = ["uri", "age_years", "gender", "race", "split"]
        known = manifest.read_manifest(uri, columns[:3]).select(columns).to_pandas()
    known = known.rename(columns={"age_years": "true_age", "gender": "true_gender"})
    if split is not None and "split" in known:
        known = known[known["split"] == split]
    for name in ("true_gender", "race", "split"):
        known[name] = known[name].astype(object) if name in known else None
    known = known[known["true_age"].notna() | known["true_gender"].notna()]
    images = str(prediction_files.lineage(source).get("images", ""))
    for key in ("{}", _RELATIVE.format(len(images) + 2) if images else "", _BASE_NAME):
        found = _join(source, known, key) if key else None
        if found and found.matched:
            return found
    first = next(summary.parts(source, ["uri"])).execute("SELECT uri FROM rows LIMIT 1").fetchone()
    example = known["uri"].iloc[0] if len(known) else "nothing"
    raise UsageError(
        f"--labels {uri}: none of its {len(known):,} labelled rows"
        f"{f' in split {split}' if split else ''} is among the predictions; labels name "
        f"{example}, predictions {first[0] if first else 'nothing'}"
    )


def _join(source: PredictionFiles, known: pd.DataFrame, key: str) -> Labelled:
    """Join on `key` applied to both uris; at most about `MOST_ROWS` rows come back."""
    picked = ", ".join(
        f"r.{name}::DOUBLE AS {name}" if name in source.columns else f"NULL::DOUBLE AS {name}"
        for name in _COLUMNS
    )
    frames = list[pd.DataFrame]()
    unique = known.assign(key=known["uri"])
    if key == _BASE_NAME:
        unique["key"] = known["uri"].str.replace(r"^.*(/|\.tar#)", "", regex=True)
    unique = unique.drop_duplicates("key", keep=False)
    join = f"FROM rows r JOIN labels l ON {key.format('r.uri')} = l.key"
    found = Counter[str]()
    for db in summary.parts(source, ["uri", *_COLUMNS]):
        db.register("labels", unique)
        found.update(dict(db.execute(f"SELECT l.key, count(*) {join} GROUP BY 1").fetchall()))
    if key == _BASE_NAME:
        twice = [name for name, count in found.items() if count > 1]
        unique = unique[~unique["key"].isin(twice)]
        found = Counter({name: 1 for name, count in found.items() if count == 1})
    counted = found.total()
    one_in = 1 + counted // MOST_ROWS
    for db in summary.parts(source, ["uri", *_COLUMNS]) if counted else ():
        db.register("labels", unique)
        query = (
            f"SELECT r.uri, {picked}, l.true_age::DOUBLE AS true_age, l.true_gender, l.race, "
            f"l.split {join} WHERE hash(r.uri) % {one_in} = 0"
        )
        frames.append(db.execute(query).df())
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return Labelled(rows, counted, one_in)


def measure(labelled: Labelled) -> dict[str, Any]:
    """All figures of the quality and subgroup sections, as plain data."""
    rows = labelled.rows
    age, true_age, p = (rows[n].to_numpy(float) for n in ("age_years", "true_age", "p_female"))
    female = rows["true_gender"].map({"male": 0.0, "female": 1.0}).to_numpy(float)
    low, high = (rows[n].to_numpy(float) for n in ("age_low_years", "age_high_years"))
    figures = metrics.evaluate(true_age, age, female, p)
    result: dict[str, Any] = {
        "labelled": labelled.matched,
        "measured_on": len(rows),
        "one_in": labelled.one_in,
        "splits": rows["split"].fillna("none").value_counts().to_dict(),
    }
    known = ~(np.isnan(age) | np.isnan(true_age))
    if known.any():
        error = age[known] - true_age[known]
        for years in (3, 10):
            figures[f"age_within_{years}"] = quality.share(np.abs(error) <= years)
        result["cumulative_score"] = quality.cumulative_score(error)
        result["density"] = _density(true_age[known], age[known])
        result["confusion"] = {
            name: {
                "groups": list(labels.bin_names(bins)),
                "counts": quality.confusion(true_age[known], age[known], bins),
            }
            for name, bins in (("decades", labels.DECADES), ("adience", labels.LEVI_HASSNER))
        }
    known = ~(np.isnan(p) | np.isnan(female))
    if known.any():
        truth = female[known] > 0.5
        figures["gender_ece"] = quality.calibration_error(p[known], truth)
        result["reliability"] = quality.reliability(p[known], truth)
        result["roc"] = quality.roc(p[known], truth)
    covered = np.where(
        np.isnan(low) | np.isnan(true_age), np.nan, (low <= true_age) & (true_age <= high)
    )
    if not np.isnan(covered).all():
        inside = ~np.isnan(covered)
        figures["age_coverage"] = quality.share(covered[inside] > 0.5)
        result["coverage_by_true_age"] = _by_decade(true_age[inside], covered[inside])
        result["coverage_by_predicted_age"] = _by_decade(age[inside], covered[inside])
    result["metrics"] = {name: dataclasses.asdict(value) for name, value in figures.items()}
    hit = np.where(np.isnan(p) | np.isnan(female), np.nan, (p >= 0.5) == (female > 0.5))
    columns = {"age_error": age - true_age, "gender_hit": hit, "covered": covered}
    return result | _subgroups(rows, columns)


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
    gaps: dict[str, Any] = {}
    for name, found in {**alone, "all": crossed}.items():
        for measured in ("age_mae", "gender_accuracy", "coverage"):
            gaps[f"{name}.{measured}"] = quality.gap(found, measured)
    return {
        "subgroups": [_cell(cell) for cell in crossed],
        "groups": {name: [_cell(cell) for cell in found] for name, found in alone.items()},
        "gaps": {name: value for name, value in gaps.items() if value},
    }


def _cell(cell: quality.Cell) -> dict[str, Any]:
    return {**dataclasses.asdict(cell), "small": cell.small}


def _by_decade(age: Any, covered: Any) -> list[dict[str, Any]]:
    """Coverage of each decade with its Wilson interval."""
    band, found = labels.bin_of(age, labels.DECADES), list[dict[str, Any]]()
    for index, name in enumerate(labels.bin_names(labels.DECADES)):
        if (band == index).any():
            found.append(
                {"group": name, **dataclasses.asdict(quality.share(covered[band == index] > 0.5))}
            )
    return found


def _density(true_age: Any, age: Any) -> list[list[int]]:
    """Images by true (row) and predicted (column) age in steps of five years, 0 to 100+."""
    size = 100 // DENSITY_YEARS + 1
    index = [
        np.minimum(values // DENSITY_YEARS, size - 1).astype(int) for values in (true_age, age)
    ]
    return np.bincount(index[0] * size + index[1], minlength=size * size).reshape(size, -1).tolist()
