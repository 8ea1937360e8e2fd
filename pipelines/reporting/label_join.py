"""Labels beside predictions: by uri, by path below the run's images, or by name; then by face."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from model.errors import UsageError
from pipelines.manifests import manifest
from pipelines.manifests.labels.ages import RANGE
from pipelines.manifests.labels.table import read_labels_file
from pipelines.manifests.manifest import BOX
from pipelines.predictions import layout, prediction_files
from pipelines.predictions.prediction_files import PredictionFiles
from pipelines.predictions.run_record import WITHOUT_A_FACE
from pipelines.reporting import face_bins, labelled_faces, summary
from pipelines.storage import tables
from pipelines.storage.uris import BEFORE_NAME
from pipelines.telemetry.log import note

MOST_ROWS = 200_000  # beyond it a sample by uri hash: its intervals are under 0.02 years wide
NO_FACE_IN_PICTURE = "no face was found in the picture"
_BASE_NAME = f"regexp_replace({{}}, '{BEFORE_NAME}', '')"
_RELATIVE = "substr({{}}, {})"  # from behind the folder and its slash
_ANSWERS = ("age_years", "p_female", "age_low_years", "age_high_years")
_OF_FACES = ("face", "faces", *BOX, *(bins.column for bins in face_bins.OF_FACES))


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Predictions beside their labels.

    Attributes:
        rows: one for each image or face: uri, `_ANSWERS`, true_age, true_gender, race, split; of
            faces also `_OF_FACES`.
        matched: predictions that have a label, before sampling; of faces estimated from the sample.
        one_in: `rows` are those of one uri in so many, picked by its hash.
        of_faces: whether faces were found, so that a picture may have several rows.
        without_face: labels of pictures that were scored, but that belong to no face: by reason.
    """

    rows: pd.DataFrame
    matched: int
    one_in: int
    of_faces: bool = False
    without_face: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])


def join_labels(source: PredictionFiles, uri: str, split: str | None = None) -> Labelled:
    """Predictions that have a label: by uri, else by path below the run's images, else by name.

    A base name must be unique on both sides: a label of `1.jpg` says nothing of `a/1.jpg` where
    there is a `b/1.jpg`. Where faces were found, `labelled_faces` says whose the label is.

    Args:
        source: the predictions.
        uri: a manifest, or a CSV with path, age, gender and maybe race.
        split: only this split of the manifest.

    Raises:
        UsageError: no label matches; the message shows one uri of each side.
    """
    known = _read_labels(uri, split)
    of_faces = _has_faces(source)
    images = str(prediction_files.lineage(source).get("images", ""))
    for key in ("{}", _RELATIVE.format(len(images) + 2) if images else "", _BASE_NAME):
        if key and (joined := _join(source, known, key, of_faces)):
            if joined.matched:
                return joined
            reasons = "; ".join(f"{n:,}: {reason}" for reason, n in joined.without_face.items())
            raise UsageError(f"`labels` {uri}: none of them belongs to a face: {reasons}")
    first = next(summary.parts(source, ["uri"])).execute("SELECT uri FROM rows LIMIT 1").fetchone()
    example = known["uri"].iloc[0] if len(known) else "nothing"
    raise UsageError(
        f"`labels` {uri}: none of its {len(known):,} labelled rows"
        f"{f' in split {split}' if split else ''} is among the predictions; labels name "
        f"{example}, predictions {first[0] if first else 'nothing'}"
    )


def _read_labels(uri: str, split: str | None) -> pd.DataFrame:
    """Labels with an age or a gender.

    Returns:
        uri, true_age, true_gender, race, split, and the columns of `BOX` if there are boxes.
    """
    if uri.endswith(".csv"):
        boxes = {f"label_{name}": name for name in BOX}
        known = read_labels_file(uri).rename(columns={"path": "uri", **boxes})
    else:
        columns = ["uri", "age_years", "gender", "race", "split", RANGE[0]]
        read = manifest.read_manifest(uri, columns[:3])
        boxes = BOX if set(BOX) <= set(read.column_names) else ()
        known = read.select([*columns, *boxes]).to_pandas()
    known = known.rename(columns={"age_years": "true_age", "gender": "true_gender"})
    is_range = known[RANGE[0]].notna()
    known = known.drop(columns=[name for name in RANGE if name in known])
    if is_range.any():
        words = "labels are ranges of ages, of which the report has no errors in years"
        note(f"note: {is_range.sum():,} {words}")
        known["true_age"] = known["true_age"].mask(is_range)
    if split is not None and "split" in known:
        known = known[known["split"] == split]
    for name in ("true_gender", "race", "split"):
        known[name] = known[name].astype(object) if name in known else None
    return known[known["true_age"].notna() | known["true_gender"].notna()]


def _has_faces(source: PredictionFiles) -> bool:
    """Whether rows are faces: the column is there, and not only with nulls."""
    return "face" in source.columns and any(
        db.execute("SELECT 1 FROM rows WHERE face IS NOT NULL LIMIT 1").fetchall()
        for db in summary.parts(source, ["face"])
    )


def _join(
    source: PredictionFiles, known: pd.DataFrame, key: str, of_faces: bool
) -> Labelled | None:
    """Join on `key` applied to both uris; at most about `MOST_ROWS` rows come back."""
    labels_by_key = known.assign(key=known["uri"])
    if key == _BASE_NAME:
        labels_by_key["key"] = known["uri"].str.replace(BEFORE_NAME, "", regex=True)
        one_uri = labels_by_key.groupby("key")["uri"].transform("nunique") == 1
        labels_by_key = labels_by_key[one_uri]
    choose = labelled_faces.labels_of_faces if of_faces else labelled_faces.labels_of_pictures
    labels_by_key = choose(labels_by_key)
    keys = labels_by_key[["key"]].drop_duplicates()
    join = f"FROM rows r JOIN labels l ON {key.format('r.uri')} = l.key"
    rows, pictures = _matches(source, keys, join)
    if key == _BASE_NAME:
        once = {name for name, count in pictures.items() if count == 1}
        labels_by_key = labels_by_key[labels_by_key["key"].isin(once)]
        rows = Counter({name: count for name, count in rows.items() if name in once})
    if not rows:
        return None
    one_in = 1 + rows.total() // MOST_ROWS
    if not of_faces:
        joined = _rows(source, labels_by_key, join, one_in)
        return Labelled(joined, rows.total(), one_in)
    keys = labels_by_key[["key"]].drop_duplicates()
    faces = _faces(source, keys, join, one_in)
    joined, without = labelled_faces.assign(faces, labels_by_key)
    without_face = {reason: count * one_in for reason, count in without.items()}
    if faceless := _without_a_face(source, labels_by_key, join):
        without_face[NO_FACE_IN_PICTURE] = faceless
    return Labelled(joined, len(joined) * one_in, one_in, True, without_face)


def _matches(
    source: PredictionFiles, keys: pd.DataFrame, join: str
) -> tuple[Counter[str], Counter[str]]:
    """Predictions, and pictures among them, that each label's key matches."""
    rows, pictures = Counter[str](), Counter[str]()
    first = summary.first_of_picture(source.columns)
    query = f"SELECT l.key, count(*), count(*) FILTER ({first}) {join} GROUP BY 1"
    for db in summary.parts(source, ["uri", "face"]):
        db.register("labels", keys)
        for key, all_rows, of_pictures in db.execute(query).fetchall():
            rows[key] += all_rows
            pictures[key] += of_pictures
    return rows, pictures


def _rows(
    source: PredictionFiles, labels_by_key: pd.DataFrame, join: str, one_in: int
) -> pd.DataFrame:
    """Predictions beside their labels, of one uri in `one_in`."""
    labels = "l.true_age::DOUBLE AS true_age, l.true_gender, l.race, l.split"
    query = (
        f"SELECT r.uri, {_predicted(source, _ANSWERS)}, {labels} {join} "
        f"WHERE hash(r.uri) % {one_in} = 0"
    )
    return _collected(source, ["uri", *_ANSWERS], labels_by_key, query)


def _faces(source: PredictionFiles, keys: pd.DataFrame, join: str, one_in: int) -> pd.DataFrame:
    """All faces of the labelled pictures, of one uri in `one_in`, with the labels' key."""
    columns = (*_ANSWERS, *_OF_FACES)
    query = (
        f"SELECT r.uri, l.key, {_predicted(source, columns)} {join} WHERE face IS NOT NULL "
        f"AND hash(r.uri) % {one_in} = 0"
    )
    return _collected(source, ["uri", *columns], keys, query)


def _predicted(source: PredictionFiles, columns: Sequence[str]) -> str:
    return ", ".join(
        f"r.{name}::DOUBLE AS {name}" if name in source.columns else f"NULL::DOUBLE AS {name}"
        for name in columns
    )


def _collected(
    source: PredictionFiles, columns: Sequence[str], labels_by_key: pd.DataFrame, query: str
) -> pd.DataFrame:
    """The answers of all parts to a query of `rows` and `labels`."""
    frames = list[pd.DataFrame]()
    for db in summary.parts(source, columns):
        db.register("labels", labels_by_key)
        frames.append(db.execute(query).df())
    return pd.concat(frames, ignore_index=True)


def _without_a_face(source: PredictionFiles, labels_by_key: pd.DataFrame, join: str) -> int:
    """Labels of pictures in which no face was found: they are in the quarantine."""
    if source.root is None:
        return 0
    stage, error = WITHOUT_A_FACE.split(": ")
    db, count = summary.connect(), 0
    db.register("labels", labels_by_key)
    for file in tables.list_parquet(layout.path(source.root, layout.QUARANTINE)):
        db.register("rows", tables.read_table(file, ["uri", "stage", "error"]))
        query = f"SELECT count(*) {join} WHERE r.stage = ? AND r.error = ?"
        count += sum(n for (n,) in db.execute(query, [stage, error]).fetchall())
        db.unregister("rows")
    return count
