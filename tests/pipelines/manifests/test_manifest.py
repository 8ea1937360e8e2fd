"""The manifest: splits follow the content, duplicates stay together, contradictions are flagged."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from model.errors import ManifestError, StorageError, UsageError
from pipelines.manifests import manifest, splits
from pipelines.manifests.splits import SplitRule
from pipelines.storage import tables

# Pinned: a changed function would leak test images into the next release's training.
_TRAIN = ("train",) * 5
PINNED_SPLITS = ["train", "val", "train", "val", *_TRAIN, "test", "train", "train"]


def rows(count: int = 6, **columns: Any) -> pd.DataFrame:
    data: dict[str, Any] = {
        "uri": [f"/faces/{n}.jpg" for n in range(count)],
        "bytes": 1, "offset": None, "etag": "1-1",
        "content_hash": [f"{n:064x}" for n in range(count)],
        "age_years": 30.0, "gender": "male", "race": None, "taken_at": None,
    }  # fmt: skip
    return pd.DataFrame(data | columns)


def made(frame: pd.DataFrame, rule: SplitRule | None = None) -> pa.Table:
    return manifest.to_table(splits.with_groups(frame, rule or SplitRule()))


def duplicates() -> pa.Table:
    """Groups a (ages 20, 40, 90; m, f, f), b (same labels twice), and one single image."""
    return made(
        rows(
            content_hash=["a" * 64] * 3 + ["b" * 64] * 2 + ["c" * 64],
            age_years=[20.0, 40.0, 90.0, 7.0, 7.0, 50.0],
            gender=["male", "female", "female", "male", "male", "female"],
        ),
        SplitRule((1.0, 0.0, 0.0)),
    )


def test_shares_of_the_splits_are_those_asked_for() -> None:
    hashes = [f"{n:064x}" for n in range(20_000)]
    for fractions in ((0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.5, 0.5, 0.0)):
        names = [SplitRule(fractions).split_of(value) for value in hashes]
        shares = [names.count(name) / len(names) for name in splits.SPLITS]
        assert shares == pytest.approx(fractions, abs=0.015)
        assert (shares[2] == 0) == (fractions[2] == 0)


def test_split_of_an_image_never_changes_between_releases() -> None:
    names = [SplitRule().split_of(f"{n:064x}") for n in range(12)]
    again = [SplitRule(seed=1).split_of(f"{n:064x}") for n in range(12)]
    assert names == PINNED_SPLITS
    assert again != names


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1)])
def test_shares_that_make_no_split_are_refused(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match=r"^`split` .*must be three shares >= 0 that sum to 1"):
        SplitRule(fractions)


def test_identical_files_form_one_group_in_one_split() -> None:
    table = made(rows(200, content_hash=[f"{n // 2:016x}" for n in range(200)])).to_pandas()
    groups = table.groupby("content_hash")
    assert (groups["split"].nunique() == 1).all()
    assert table["duplicate_group"].nunique() == 100
    assert not table["label_conflict"].any()


def test_single_image_has_no_group_and_contradictions_are_flagged() -> None:
    table = duplicates()
    assert table["duplicate_group"].to_pylist() == ["a" * 16] * 3 + ["b" * 16] * 2 + [None]
    assert table["label_conflict"].to_pylist() == [True] * 3 + [False] * 3


def test_time_and_size_of_local_files_make_no_duplicates() -> None:
    """Unpacked archives give many files one time; `hash` etag must not call them equal."""
    assert made(rows(content_hash=None))["duplicate_group"].null_count == 6
    inside = rows(content_hash=None, offset=512)
    inside["uri"] = [f"s3://b/a.tar#{n}.jpg" for n in range(6)]
    assert made(inside)["duplicate_group"].null_count == 6


def test_etags_of_s3_make_duplicates() -> None:
    stored = rows(content_hash=None, etag="d41d8cd98f00b204e9800998ecf8427e")
    stored["uri"] = [f"s3://b/{n}.jpg" for n in range(6)]
    assert made(stored)["duplicate_group"].to_pylist() == ["d41d8cd98f00b204"] * 6


def test_rows_come_in_uri_order_with_the_declared_schema() -> None:
    table = made(rows().sample(frac=1, random_state=1))
    assert table.schema.equals(manifest.MANIFEST_SCHEMA, check_metadata=True)
    assert table["uri"].to_pylist() == sorted(table["uri"].to_pylist())


def test_given_split_is_kept() -> None:
    given = ["test", "train", "val"] * 2
    assert made(rows(split=given))["split"].to_pylist() == given


def test_conflicts_are_kept_dropped_or_settled_by_median_or_mean_and_majority() -> None:
    table = duplicates()
    kept = manifest.labelled(table, "train", "keep")
    assert kept["age_years"].to_pylist() == [20, 40, 90, 7, 7, 50]
    assert manifest.labelled(table, "train", "drop")["age_years"].to_pylist() == [7, 7, 50]
    nameless = made(rows(2, content_hash="a" * 64, age_years=[1.0, 4.0], gender=None))
    assert manifest.labelled(nameless, None, "median")["age_years"].to_pylist() == [2.5, 2.5]
    settled = manifest.labelled(table, "train", "median")
    assert settled["age_years"].to_pylist() == [40, 40, 40, 7, 7, 50]
    assert settled["gender"].to_pylist()[:3] == ["female"] * 3
    mean = manifest.labelled(table, "train", "mean")
    assert mean["age_years"].to_pylist() == [50, 50, 50, 7, 7, 50]
    assert mean["gender"].to_pylist()[:3] == ["female"] * 3
    torn = made(rows(2, content_hash="a" * 64, gender=["male", "female"]))
    assert manifest.labelled(torn, None, "mean")["gender"].to_pylist() == [None, None]


def test_labelled_means_an_age_or_a_gender() -> None:
    table = made(
        rows(3, age_years=[None, 20.0, None], gender=["male", None, None]),
        SplitRule((1.0, 0.0, 0.0)),
    )
    assert manifest.labelled(table, None).num_rows == 2


def test_split_without_labelled_rows_is_refused() -> None:
    with pytest.raises(ManifestError, match=r"split 'test'; it has the splits \['train'\]"):
        manifest.labelled(duplicates(), "test")


def test_codes_are_numbers_with_nan_for_null() -> None:
    table = made(rows(3, gender=["male", "female", None], race=["white", None, "other"]))
    assert manifest.codes(table, "gender").tolist()[:2] == [0.0, 1.0]
    assert np.isnan(manifest.codes(table, "gender")[2])
    assert manifest.codes(table, "race").tolist()[::2] == [0.0, 4.0]
    assert manifest.codes(table, "age_years").tolist() == [30.0] * 3


def test_fingerprint_follows_contents_labels_and_splits_not_place_or_order() -> None:
    first = manifest.fingerprint(made(rows()))
    moved = rows(uri=[f"/elsewhere/{9 - n}.jpg" for n in range(6)], etag="2-2")
    assert manifest.fingerprint(made(moved)) == first
    assert manifest.fingerprint(made(rows(age_years=31.0))) != first
    assert manifest.fingerprint(made(rows(5))) != first
    assert manifest.fingerprint(made(rows(), SplitRule(seed=1))) != first


def test_manifest_is_read_back_as_written(tmp_path: Path) -> None:
    tables.write_table(f"{tmp_path}/manifest/part-00000.parquet", duplicates())
    tables.write_json(f"{tmp_path}/manifest.json", {})
    for uri in (tmp_path, tmp_path / "manifest", tmp_path / "manifest/part-00000.parquet"):
        assert manifest.read_manifest(str(uri)).to_pylist() == duplicates().to_pylist()


def test_table_of_uris_alone_is_a_manifest_for_scoring(tmp_path: Path) -> None:
    uri = f"{tmp_path}/mine.parquet"
    tables.write_table(uri, pa.table({"uri": ["a.jpg", "b.jpg"]}))
    table = manifest.read_manifest(uri)
    assert table["uri"].to_pylist() == ["a.jpg", "b.jpg"]
    assert table["age_years"].null_count == 2


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        ({"uri": ["a"]}, ["uri", "age_years"], "lacks the column age_years: it has uri; make one"),
        ({"uri": ["a"]}, ["gender", "split"], "lacks the columns gender, split: it has uri"),
        ({"uri": ["a"], "age_years": ["old"]}, ["uri"], "age_years is string and cannot be read"),
        ({"uri": []}, ["uri"], "has no rows"),
    ],
)
def test_a_table_that_is_no_manifest_is_refused(
    tmp_path: Path, table: dict[str, Any], columns: list[str], message: str
) -> None:
    uri = f"{tmp_path}/mine.parquet"
    tables.write_table(uri, pa.table(table))
    with pytest.raises(ManifestError, match=f"^manifest {uri}.*{message}"):
        manifest.read_manifest(uri, columns)


def test_cut_parquet_is_refused(tmp_path: Path) -> None:
    uri = tmp_path / "mine.parquet"
    tables.write_table(str(uri), duplicates())
    uri.write_bytes(uri.read_bytes()[:200])
    with pytest.raises(StorageError, match=f"^{uri} is not a whole Parquet file: "):
        manifest.read_manifest(str(uri))


_ENDS = "an age_low_years is above its age_high_years, or one of the two is alone"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"gender": "Male"}, "gender 'Male' is none of male, female (or null): make it by jobs.in"),
        ({"race": "x"}, "race 'x' is none of white, black, asian, indian, other (or null)"),
        ({"split": "dev"}, "split 'dev' is none of train, val, test (or null)"),
        ({"age_years": 200.0}, "age_years 200 is outside 0-116: correct it, or leave it null"),
        ({"age_years": -1.0}, "age_years -1 is outside 0-116"),
        ({"age_low_years": 30.0, "age_high_years": 20.0}, _ENDS),
        ({"age_low_years": 30.0, "age_high_years": None}, _ENDS),
        ({"age_low_years": None, "age_high_years": 30.0}, _ENDS),
    ],
)
def test_labels_that_nobody_would_learn_from_are_refused(
    columns: dict[str, Any], message: str, tmp_path: Path
) -> None:
    uri = str(tmp_path / "own.parquet")
    frame = rows(**{"split": "train", **columns}).drop(columns=["taken_at", "offset"])
    tables.write_table(uri, pa.Table.from_pandas(frame))
    with pytest.raises(ManifestError, match=re.escape(f"manifest {uri}: {message}")):
        manifest.read_manifest(uri, ["uri", "age_years", "gender", "split"])
    assert manifest.read_manifest(uri).num_rows == 6  # to score them, no label is needed


RANGES = {
    "age_years": [24.5, None, 30.0] * 2, "age_low_years": [20.0, 70.0, None] * 2,
    "age_high_years": [29.0, 116.0, None] * 2,
}  # fmt: skip


def test_ranges_are_told_apart_from_exact_ages_and_count_as_labels() -> None:
    table = made(rows(**RANGES, gender=None))
    assert manifest.labelled(table, None).num_rows == 6
    low, high = manifest.age_ranges(table)
    assert low[:2].tolist() == [20, 70] and high[:2].tolist() == [29, 116]
    assert np.isnan(low[2])
    assert np.array_equal(manifest.exact_ages(table)[:3], [np.nan, np.nan, 30], equal_nan=True)


def test_a_manifest_without_ranges_keeps_its_fingerprint_and_ranges_are_part_of_it(
    tmp_path: Path,
) -> None:
    table = made(rows())
    before = table.drop_columns(["age_low_years", "age_high_years"])
    assert manifest.fingerprint(table) == manifest.fingerprint(before)
    uri = f"{tmp_path}/before.parquet"
    tables.write_table(uri, before)
    read = manifest.read_manifest(uri, ["uri", "age_years", "gender", "split"])
    assert manifest.fingerprint(read) == manifest.fingerprint(table)
    assert np.isnan(manifest.age_ranges(read)[0]).all()
    ranges = manifest.fingerprint(made(rows(**RANGES)))
    middles = manifest.fingerprint(made(rows(age_years=RANGES["age_years"])))
    higher = RANGES | {"age_high_years": [30.0, 116.0, None] * 2}
    wider = manifest.fingerprint(made(rows(**higher)))
    assert len({ranges, middles, wider}) == 3


def test_copies_of_different_ranges_contradict_each_other_and_are_settled_as_numbers() -> None:
    ends = {"age_low_years": [20.0, 18.0], "age_high_years": [24.0, 26.0]}
    table = made(rows(2, content_hash="a" * 64, age_years=22.0, **ends))
    assert table["label_conflict"].to_pylist() == [True, True]
    settled = manifest.labelled(table, None, "mean")
    assert settled["age_years"].to_pylist() == [22, 22]
    assert settled["age_low_years"].null_count == 2


@pytest.mark.parametrize("rule", ["mean", "median"])
def test_a_range_that_all_copies_agree_on_stays_whatever_they_say_of_gender(rule: Any) -> None:
    ends = {"age_years": None, "age_low_years": 38.0, "age_high_years": 60.0}
    torn = made(rows(2, content_hash="a" * 64, gender=["male", "female"], **ends))
    settled = manifest.labelled(torn, None, rule)
    assert settled["age_low_years"].to_pylist() == [38, 38]
    assert settled["age_high_years"].to_pylist() == [60, 60]


def test_a_picture_its_faces_and_its_copies_are_one_picture_and_a_label_of_two_rows_one_label() -> (
    None
):
    points = [None, [1.0] * 10, [2.0] * 10, None, [1.0] * 10, [2.0] * 10, None]
    frame = rows(7, content_hash=["a" * 64] * 6 + ["b" * 64])
    frame["uri"] = ["x.jpg"] * 3 + ["y.jpg"] * 3 + ["z.jpg"]
    frame["face_landmarks"] = points
    frame["face_left"] = [None if found is None else found[0] for found in points]
    table = made(frame)
    shown = dict(zip(table["uri"].to_pylist(), splits.pictures_shown(table), strict=True))
    assert len({*splits.pictures_shown(table)}) == 2
    assert shown["x.jpg"] == shown["y.jpg"] != shown["z.jpg"] == "z.jpg"
    again = manifest.labelled_already(table)
    assert again.sum() == 4
    assert table.filter(pa.array(~again))["face_left"].null_count == 3
    alone = table.filter(pa.array(again))  # labels that faces alone have are theirs
    assert not manifest.labelled_already(alone).any()
