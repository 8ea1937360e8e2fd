"""Copies of one image whose labels contradict one another: what of them is kept, and as what."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from pipelines.manifests.labels.ages import RANGE

ConflictRule = Literal["keep", "drop", "median", "mean"]


def kept_rows(rows: pd.DataFrame, conflicts: ConflictRule) -> pd.Series:
    """Which rows a conflict rule leaves: bool (n,)."""
    clash = rows["label_conflict"].fillna(False).astype(bool)
    return ~clash if conflicts == "drop" else clash | True


def with_conflicts_resolved(rows: pd.DataFrame, conflicts: ConflictRule) -> pd.DataFrame:
    """The rows with labels as a conflict rule has them."""
    clash = rows["label_conflict"].fillna(False).astype(bool)
    if conflicts not in ("median", "mean") or not clash.any():
        return rows
    rows = rows.copy()  # Arrow's memory is read-only
    groups = rows[clash].groupby("duplicate_group")
    ages = groups[["age_years", *RANGE]].transform("nunique").max(axis=1) > 1
    torn = ages.index[ages]  # where they agree, whatever they say of gender, an age stays as it is
    rows.loc[torn, "age_years"] = groups["age_years"].transform(conflicts)[torn]
    rows.loc[torn, list(RANGE)] = np.nan
    majority = _majority if conflicts == "median" else _clear_majority
    rows.loc[clash, "gender"] = groups["gender"].transform(majority)
    return rows


def _majority(names: pd.Series) -> Any:
    """The most frequent name, the first by alphabet of equals, or None if all are null."""
    return next(iter(names.mode()), None)


def _clear_majority(names: pd.Series) -> Any:
    """The most frequent name, or None where several are."""
    most = list(names.mode())
    return most[0] if len(most) == 1 else None
