"""Labels beside predictions: by uri, by path below the run's images, or by name; then by face."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from model.errors import UsageError
from pipelines.manifests import manifest
from pipelines.manifests.labels.table import read_labels_file
from pipelines.manifests.manifest import BOX
from pipelines.manifests.matching import NO_FACE, match_labels
from pipelines.predictions import labelling, prediction_files
from pipelines.predictions.prediction_files import PredictionFiles
from pipelines.predictions.run_record import WITHOUT_A_FACE
from pipelines.reporting import face_bins, summary
from pipelines.storage.uris import BEFORE_NAME
from pipelines.telemetry.log import note

MAX_ROWS = 200_000  # beyond it a sample by uri hash: its intervals are under 0.02 years wide
_BASE_NAME = f"regexp_replace({{}}, '{BEFORE_NAME}', '')"
_RELATIVE = "substr({{}}, {})"  # from behind the folder and its slash
_PREDICTED = ("age_years", "p_female", "age_low_years", "age_high_years")
_TRUTH = (*labelling.TRUTH.values(), "split", "duplicate_group")
_OF_FACES = ("face", "faces", *BOX)


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Predictions beside their labels.

    Attributes:
        rows: one for each image or face: uri, `_PREDICTED`, `_TRUTH`; of faces also `_OF_FACES`
            and the bin of each column of `face_bins.OF_FACES`.
        matched: predictions that have a label, before sampling; of faces estimated from the sample.
        one_in: `rows` are those of one uri in so many, picked by its hash.
        of_faces: whether faces were detected, so that an image may have several rows.
        without_face: labels of images that were scored, but that belong to no face: by reason.
    """

    rows: pd.DataFrame
    matched: int
    one_in: int
    of_faces: bool = False
    without_face: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])

    @property
    def table(self) -> pa.Table:
        """The rows without those of faces' columns, as `figures.of_table` takes them."""
        kept = self.rows[["uri", *_PREDICTED, *_TRUTH]].astype(
            dict.fromkeys([*_PREDICTED, *(n for n in _TRUTH if n.endswith("years"))], float)
        )
        return pa.Table.from_pandas(kept, preserve_index=False)


def join_labels(source: PredictionFiles, uri: str, split: str | None = None) -> Labelled:
    """Predictions that have a label: by uri, else by path below the run's images, else by name.

    A base name must be unique on both sides: a label of `1.jpg` says nothing of `a/1.jpg` where
    there is a `b/1.jpg`. Where faces were detected, `matching` says whose the label is.

    Args:
        source: the predictions.
        uri: a manifest, or a CSV with path, age, gender and maybe race.
        split: only this split of the manifest.

    Raises:
        UsageError: no label matches; the message shows one uri of each side.
    """
    known = _read_labels(uri, split)
    db = summary.open_rows(source)
    is_face = "SELECT 1 FROM rows WHERE face IS NOT NULL LIMIT 1"
    of_faces = "face" in source.columns and bool(db.execute(is_face).fetchall())
    images = str(prediction_files.lineage(source).get("images", ""))
    for key in ("{}", _RELATIVE.format(len(images) + 2) if images else "", _BASE_NAME):
        if key and (joined := _join(source, db, known, key, of_faces)):
            if joined.matched:
                return joined
            reasons = "; ".join(f"{n:,}: {reason}" for reason, n in joined.without_face.items())
            raise UsageError(f"`labels` {uri}: no label matches a face: {reasons}")
    first = db.execute("SELECT uri FROM rows LIMIT 1").fetchone()
    example = known["uri"].iloc[0] if len(known) else "nothing"
    raise UsageError(
        f"`labels` {uri}: none of its {len(known):,} labelled rows"
        f"{f' in split {split}' if split else ''} is among the predictions; labels name "
        f"{example}, predictions {first[0] if first else 'nothing'}"
    )


def _read_labels(uri: str, split: str | None) -> pd.DataFrame:
    """Labels with an age or a gender.

    Returns:
        uri, `_TRUTH`, and the columns of `BOX`, null where a label has no box.
    """
    if uri.endswith(".csv"):
        boxes = {f"label_{name}": name for name in BOX}
        known = read_labels_file(uri).rename(columns={"path": "uri", **boxes})
    else:
        read = manifest.read_manifest(uri, ["uri", "age_years", "gender"])
        names = {"uri", *labelling.TRUTH, "split", "duplicate_group", *BOX}
        known = read.select([name for name in read.column_names if name in names]).to_pandas()
    known = known.rename(columns=labelling.TRUTH).reindex(columns=["uri", *_TRUTH, *BOX])
    is_range = known["true_age_low_years"].notna()
    if is_range.any():
        words = "labels are age ranges, excluded from errors in years"
        note(f"note: {is_range.sum():,} {words}")
        known["true_age_years"] = known["true_age_years"].mask(is_range)
    if split is not None and known["split"].notna().any():
        known = known[known["split"] == split]
    for name in ("true_gender", "race", "split", "duplicate_group"):
        known[name] = known[name].astype(object).where(known[name].notna(), None)
    has_label = [n for n in _TRUTH if n.startswith("true_")]
    return known[known[has_label].notna().any(axis=1)]


def _join(
    source: PredictionFiles, db: Any, known: pd.DataFrame, key: str, of_faces: bool
) -> Labelled | None:
    """Join on `key` applied to both uris; at most about `MAX_ROWS` rows come back."""
    labels = known.assign(key=known["uri"])
    if key == _BASE_NAME:
        labels["key"] = known["uri"].str.replace(BEFORE_NAME, "", regex=True)
        labels = labels[labels.groupby("key")["uri"].transform("nunique") == 1]
    if not of_faces:
        labels = labelling.labels_of_crops(labels, "key")
    join = f"FROM rows r JOIN labels l ON {key.format('r.uri')} = l.key"
    first = summary.first_of_picture(source.columns)
    counts = f"count(*) AS rows, count(*) FILTER ({first}) AS pictures"
    matches = _found(db, labels, f"SELECT l.key, {counts} {join} GROUP BY 1")
    if key == _BASE_NAME:
        matches = matches[matches["pictures"] == 1]
        labels = labels[labels["key"].isin(matches["key"])]
    matched = int(matches["rows"].sum())
    if not matched:
        return None
    one_in = 1 + matched // MAX_ROWS
    values = {name: f"{name}::DOUBLE" for name in (*_PREDICTED, *(_OF_FACES if of_faces else ()))}
    if of_faces:
        values |= {bins.column: bins.index_sql for bins in face_bins.OF_FACES}
    selected = ", ".join(
        f"{value if name in source.columns else 'NULL::DOUBLE'} AS {name}"
        for name, value in values.items()
    )
    sampled = f"hash(r.uri) % {one_in} = 0 {'AND face IS NOT NULL' if of_faces else ''}"
    rows = _found(db, labels, f"SELECT r.uri, l.key, {selected} {join} WHERE {sampled}")
    if not of_faces:
        beside = rows.merge(labels[["key", *_TRUTH]], on="key").drop(columns="key")
        # Intervals are drawn in this order.
        return Labelled(beside.sort_values("uri", ignore_index=True), matched, one_in)
    joined, without = _matched(rows, labels)
    without_face = {reason: count * one_in for reason, count in without.items()}
    if faceless := _without_a_face(source, labels, join):
        without_face[NO_FACE] = faceless
    return Labelled(joined, len(joined) * one_in, one_in, True, without_face)


def _matched(faces: pd.DataFrame, labels: pd.DataFrame) -> tuple[pd.DataFrame, Counter[str]]:
    """Faces that have a label, beside it; and how many labels have no face, by reason.

    Args:
        faces: all faces of the labelled images, with the labels' `key`.
        labels: with `key`, `_TRUTH` and `BOX`.
    """
    faces = faces.drop_duplicates(["uri", "face"]).reset_index(drop=True)
    labels = labels[labels["key"].isin(faces["key"])]
    image = {"key": "image"}
    matched = match_labels(faces.rename(columns=image), labels.rename(columns=image))
    has_face = matched["face"] >= 0
    rows = faces.iloc[matched.loc[has_face, "face"]].drop(columns="key").reset_index(drop=True)
    truth = labels.loc[has_face, list(_TRUTH)].reset_index(drop=True)
    joined = pd.concat([rows, truth], axis=1).sort_values(["uri", "face"], ignore_index=True)
    return joined, Counter(matched.loc[~has_face, "reason"])


def _found(db: Any, labels: pd.DataFrame, query: str) -> pd.DataFrame:
    """The answer to a query of `rows` and of the keys of `labels`."""
    return db.register("labels", labels[["key"]].drop_duplicates()).execute(query).df()


def _without_a_face(source: PredictionFiles, labels: pd.DataFrame, join: str) -> int:
    """Labels of images in which no face was found: they are in the quarantine."""
    quarantine = summary.quarantine_of(source)
    if quarantine is None:
        return 0
    stage, error = WITHOUT_A_FACE.split(": ")
    query = f"SELECT count(*) {join} WHERE r.stage = ? AND r.error = ?"
    return quarantine.register("labels", labels).execute(query, [stage, error]).fetchone()[0]
