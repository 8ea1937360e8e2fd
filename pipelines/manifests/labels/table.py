"""A labels file for images that do not say their labels by name: CSV or Parquet."""

import pandas as pd
import pyarrow as pa

from model import labels
from model.errors import ManifestError, UsageError
from pipelines import storage
from pipelines.manifests import splits
from pipelines.manifests.manifest import BOX
from pipelines.storage import tables

_BOXES = (  # columns, and whether the last two are a corner
    (BOX, False),
    (("face_x0", "face_y0", "face_x1", "face_y1"), True),
    (("x", "y", "dx", "dy"), False),
)


def read_labels_file(labels_uri: str, split_column: str | None = None) -> pd.DataFrame:
    """Read and check a labels file.

    Args:
        labels_uri: a .csv or .parquet with path, age (years), gender and maybe race.
        split_column: its column that says train, val or test, or None.

    Returns:
        path, age_years (NaN where illegal), gender and race (null where unknown), split where it
        is asked for, and the columns of `manifest.BOX` where the file has a face's box; the first
        row of each path, or of each path and box.

    Raises:
        UsageError: neither kind of file.
        ManifestError: a column is missing, or holds what it must not.
    """
    uri = storage.normalize(labels_uri)
    storage.require_readable(uri, "`labels`")
    if uri.endswith(".parquet"):
        frame: pd.DataFrame = tables.read_table(uri).to_pandas()
    elif uri.endswith(".csv"):
        try:
            # index_col: a comma at the end of every line must not move the columns.
            frame = pd.read_csv(pa.BufferReader(storage.read_bytes(uri)), index_col=False)
        except ValueError as error:  # pandas: no columns, ragged lines, not UTF-8
            raise ManifestError(
                f"`labels` {uri} cannot be read as UTF-8 CSV with a header line: {error}"
            ) from None
    else:
        raise UsageError(f"`labels` {labels_uri}: give auto, utkface, none, a .csv or a .parquet")
    missing = sorted({"path", "age", "gender"} - set(frame.columns))
    if missing:
        raise ManifestError(
            f"`labels` {uri} lacks the column{'s' if len(missing) > 1 else ''} "
            f"{', '.join(missing)}: it has {', '.join(map(str, frame.columns))}"
        )
    box = _box(frame)
    frame = frame.assign(**box).drop_duplicates(["path", *box])
    box = {name: frame[name] for name in box}
    age = pd.to_numeric(frame["age"], errors="coerce")
    result = pd.DataFrame({"path": frame["path"].astype(str)})
    result["age_years"] = age.where(age.between(labels.MIN_AGE_YEARS, labels.MAX_AGE_YEARS))
    result["gender"] = _names(frame["gender"], labels.GENDERS)
    result["race"] = _names(frame["race"], labels.RACES) if "race" in frame else None
    for name, values in box.items():
        result[f"label_{name}"] = values
    if split_column:
        if split_column not in frame:
            raise ManifestError(f"`split_column` {split_column}: {uri} has no such column")
        result["split"] = frame[split_column].astype(str)
        illegal = sorted(set(result["split"]) - set(splits.SPLITS))
        if illegal:
            raise ManifestError(f"`split_column` holds {illegal}: legal are train, val, test")
    return result.reset_index(drop=True)


def _box(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Left, top, width and height of each label's face, in pixels; none where there is no box.

    As facemill's own manifests name them, as LAGENDA does (two corners), or as Adience does.
    """
    for names, has_corners in _BOXES:
        if set(names) <= set(frame.columns):
            left, top, third, fourth = (pd.to_numeric(frame[n], errors="coerce") for n in names)
            size = (third - left, fourth - top) if has_corners else (third, fourth)
            return dict(zip(BOX, (left, top, *size), strict=True))
    return {}


def _names(column: pd.Series, names: tuple[str, ...]) -> pd.Series:
    """Codes (0, 1, …), names or initials as names; anything else is null."""
    known = {name: name for name in names} | {str(i): name for i, name in enumerate(names)}
    known |= {f"{i}.0": name for i, name in enumerate(names)} | {name[0]: name for name in names}
    return column.astype(str).str.strip().str.lower().map(known)
