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
Measured = tuple[dict[str, metrics.Estimate], dict[str, Any]]  # metrics, and curves and tables


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Predictions beside their labels.

    Attributes:
        rows: one for each image: uri, `_COLUMNS`, true_age, true_gender, race, split.
        matched: predictions that have a label, before sampling.
        one_in: `rows` are those of one uri in so many, picked by its hash.
    """

    rows: pd.DataFrame
    matched: int
    one_in: int


def join_labels(source: PredictionFiles, uri: str, split: str | None = None) -> Labelled:
    """Predictions that have a label: by uri, else by path below the run's images, else by name.

    A base name must be unique on both sides: a label of `1.jpg` says nothing of `a/1.jpg` where
    there is a `b/1.jpg`.

    Args:
        source: the predictions.
        uri: a manifest, or a CSV with path, age, gender and maybe race.
        split: only this split of the manifest.

    Raises:
        UsageError: no label matches; the message shows one uri of each side.
    """
    known = _read_labels(uri, split)
    images = str(prediction_files.lineage(source).get("images", ""))
    for key in ("{}", _RELATIVE.format(len(images) + 2) if images else "", _BASE_NAME):
        if key and (joined := _join(source, known, key)).matched:
            return joined
    first = next(summary.parts(source, ["uri"])).execute("SELECT uri FROM rows LIMIT 1").fetchone()
    example = known["uri"].iloc[0] if len(known) else "nothing"
    raise UsageError(
        f"`labels` {uri}: none of its {len(known):,} labelled rows"
        f"{f' in split {split}' if split else ''} is among the predictions; labels name "
        f"{example}, predictions {first[0] if first else 'nothing'}"
    )


def _read_labels(uri: str, split: str | None) -> pd.DataFrame:
    """Columns uri, true_age, true_gender, race and split, of rows with an age or a gender."""
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
    return known[known["true_age"].notna() | known["true_gender"].notna()]


def _join(source: PredictionFiles, known: pd.DataFrame, key: str) -> Labelled:
    """Join on `key` applied to both uris; at most about `MOST_ROWS` rows come back."""
    labels_by_key = known.assign(key=known["uri"])
    if key == _BASE_NAME:
        labels_by_key["key"] = known["uri"].str.replace(r"^.*(/|\.tar#)", "", regex=True)
    labels_by_key = labels_by_key.drop_duplicates("key", keep=False)
    join = f"FROM rows r JOIN labels l ON {key.format('r.uri')} = l.key"
    matches = _matches(source, labels_by_key, join)
    if key == _BASE_NAME:
        once = {name for name, count in matches.items() if count == 1}
        labels_by_key = labels_by_key[labels_by_key["key"].isin(once)]
        matches = Counter(once)
    matched = matches.total()
    one_in = 1 + matched // MOST_ROWS
    rows = _rows(source, labels_by_key, join, one_in) if matched else pd.DataFrame()
    return Labelled(rows, matched, one_in)


def _matches(source: PredictionFiles, labels_by_key: pd.DataFrame, join: str) -> Counter[str]:
    """Predictions that each label's key matches."""
    matches = Counter[str]()
    for db in summary.parts(source, ["uri"]):
        db.register("labels", labels_by_key)
        matches.update(dict(db.execute(f"SELECT l.key, count(*) {join} GROUP BY 1").fetchall()))
    return matches


def _rows(
    source: PredictionFiles, labels_by_key: pd.DataFrame, join: str, one_in: int
) -> pd.DataFrame:
    """Predictions beside their labels, of one uri in `one_in`."""
    predicted = ", ".join(
        f"r.{name}::DOUBLE AS {name}" if name in source.columns else f"NULL::DOUBLE AS {name}"
        for name in _COLUMNS
    )
    query = (
        f"SELECT r.uri, {predicted}, l.true_age::DOUBLE AS true_age, l.true_gender, l.race, "
        f"l.split {join} WHERE hash(r.uri) % {one_in} = 0"
    )
    frames = list[pd.DataFrame]()
    for db in summary.parts(source, ["uri", *_COLUMNS]):
        db.register("labels", labels_by_key)
        frames.append(db.execute(query).df())
    return pd.concat(frames, ignore_index=True)


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
    return {
        "labelled": labelled.matched,
        "measured_on": len(rows),
        "one_in": labelled.one_in,
        "splits": rows["split"].fillna("none").value_counts().to_dict(),
        **curves,
        "metrics": {name: dataclasses.asdict(value) for name, value in estimates.items()},
        **_subgroups(rows, {"age_error": age - true_age, "gender_hit": hit, "covered": covered}),
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
