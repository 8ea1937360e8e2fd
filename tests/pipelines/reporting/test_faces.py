"""The report where one picture has a row for every face: pictures and faces are told apart."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from model.bundle import Bundle
from model.faces.crops import FaceSearch, crops_of
from model.predictor import Predictor
from pipelines.images.batches import decode_entries_with
from pipelines.manifests import manifest
from pipelines.manifests.matching import NO_FACE, NONE_LARGEST
from pipelines.predictions.labelling import labels_of_crops
from pipelines.predictions.prediction_files import find_predictions
from pipelines.predictions.schemas import COLUMNS_BEFORE_FACES
from pipelines.reporting import contact_sheet, face_bins, label_join
from pipelines.reporting.figures import as_json, collect
from pipelines.reporting.headline import tiles, title, warnings
from pipelines.reporting.options import ReportOptions
from pipelines.reporting.page import as_table, render
from pipelines.scoring.rows import score_entries
from pipelines.storage import tables
from tests import browser
from tests.predictions import random_faces, random_predictions, write_predictions
from tests.scenes import scene

REASONS = {"detect: no_face": 30, "list: not_an_image_name": 2, "decode: truncated": 5}


def write_run(folder: Path, *parts: pa.Table, **record: Any) -> str:
    """A finished run's predictions, run.json and job.json."""
    output = write_predictions(folder, *parts)
    run = {
        "images": "/photos", "faces": "detect", "bundle": "b", "bundle_id": "0123456789abcdef",
        "detection": {"by": "d", "min_score": 0.5, "min_eye_distance_px": 8.0, "max_faces": 500},
        "faces_skipped": 4, "images_per_s": 21.0, "finished_at": "2026-11-26T12:00:00Z",
        "quarantine_reasons": REASONS, **record,
    }  # fmt: skip
    tables.write_json(f"{output}/run.json", run)
    tables.write_json(f"{output}/job.json", run)
    return output


def quarantine_of(*uris: str) -> pa.Table:
    rows = {"uri": [*uris], "stage": ["detect"] * len(uris), "error": ["no_face"] * len(uris)}
    return pa.table(rows)


def labels_table(rows: pd.DataFrame, **columns: Any) -> pa.Table:
    """Labels of rows of predictions: their own ages and genders, one year off."""
    frame = rows[["uri", "age_years", "gender"]].assign(
        age_years=(rows["age_years"].fillna(30) + 1).clip(1, 116), split="test", race="white"
    )
    return manifest.to_table(frame.assign(**columns))


def test_pictures_faces_and_what_has_none_are_counted_apart(tmp_path: Path) -> None:
    part = random_faces(0, 270)
    frame: Any = part.to_pandas()
    output = write_run(tmp_path, part.slice(0, 200), part.slice(200))
    figures = collect(ReportOptions(output, by="/photos/(.)/"))
    counts = figures["counts"]
    assert (counts["scored"], counts["faces"]) == (270, len(frame))
    assert [counts[name] for name in ("without_a_face", "other_files", "failed")] == [30, 2, 5]
    assert counts["quarantined"] == 37
    assert counts["faces_skipped"] == 4
    assert counts["duplicate_uris"] == 0
    assert warnings(figures) == []
    assert title(figures) == f"Ages and genders of {len(frame):,} faces in 270 images"
    assert tiles(figures)[:4] == [
        ("images with faces", "270", "21 images/s"),
        ("faces", f"{len(frame):,}", f"{len(frame) / 270:.2f} per image; 4 more skipped as too "
         "small or too many"),
        ("without a face", "30", "9.84% of 305 images"),
        ("not scored", "5", "1.64% of 305 images; 2 other files skipped"),
    ]  # fmt: skip
    faces = figures["faces"]
    assert faces["without_a_face"]["share"] == 30 / 300
    first = frame[frame["face"] == 0]
    bins = pd.cut(first["faces"], [0, 1, 2, 5, 10, 99])
    told = [row["pictures"] for row in faces["a_picture"]]
    assert told == bins.value_counts(sort=False).tolist()
    eyes = frame["eye_distance_px"].between(32, 48, inclusive="left").sum()
    assert {"bin": "32 to 48 px", "faces": eyes} in faces["eye_distance_px"]
    rolls = frame["roll_degrees"].abs().between(10, 20, inclusive="left").sum()
    assert {"bin": "10 to 20°", "faces": rolls} in faces["roll_degrees"]
    assert figures["means"]["width"] == pytest.approx(first["width"].mean())  # a picture once
    assert sum(figures["histograms"]["width"]) == 270
    assert sum(figures["histograms"]["brightness"]) == len(frame)
    assert [row["pictures"] for row in figures["places"]] == [135, 135]
    assert sum(row["images"] for row in figures["places"]) == len(frame)


def test_pictures_taken_whole_are_told_as_before_with_and_without_the_columns(
    tmp_path: Path,
) -> None:
    whole = random_predictions(0, 300)
    assert whole["face"].null_count == 300
    record = {"faces": "crop", "detection": None, "quarantine_reasons": {"decode: empty": 3}}
    told = [
        collect(ReportOptions(write_run(tmp_path / name, rows, **record)))
        for name, rows in (("new", whole), ("old", whole.select(list(COLUMNS_BEFORE_FACES))))
    ]
    for figures in told:
        assert title(figures) == "Ages and genders of 300 images"
        assert tiles(figures)[:2] == [
            ("images scored", "300", "21 images/s"),
            ("not scored", "3", "0.99% of 303 inputs"),
        ]
        assert figures["faces"] is None
        assert "faces" not in {row["section"] for row in as_table(figures).to_pylist()}
        for name in ("made_at", "predictions", "run"):
            del figures[name]
    assert told[0] == told[1]


def test_faces_that_stand_twice_and_labels_that_may_be_another_s_are_warned_of(
    tmp_path: Path,
) -> None:
    part = random_faces(1, 100)
    frame: Any = part.to_pandas()
    tables.write_table(str(tmp_path / "l.parquet"), labels_table(frame[frame["face"] == 0]))
    output = write_run(tmp_path, part, part.slice(0, 7), detection={"max_faces": 1})
    figures = collect(ReportOptions(output, str(tmp_path / "l.parquet")))
    assert figures["counts"]["duplicate_uris"] == 7
    twice, doubtful = warnings(figures)
    assert twice == "7 rows repeat a face of an image."
    assert doubtful.startswith("Only the largest face of each image was kept")


@pytest.mark.parametrize("bins", [face_bins.A_PICTURE, *face_bins.OF_FACES])
def test_a_value_at_the_edge_of_two_bins_is_in_the_upper_one(bins: face_bins.Bins) -> None:
    import duckdb

    edges = np.array(bins.starts, dtype=float)
    values = np.concatenate([edges, np.nextafter(edges, -1), -edges, edges + 1e4])
    db = duckdb.connect()
    db.register("rows", pd.DataFrame({bins.column: [*values, np.nan]}))
    *counted, nothing = db.execute(f"SELECT {bins.index_sql} FROM rows").fetchall()
    known = np.abs(values) if bins.both_sides else values
    wanted = np.searchsorted(edges[1:], known, side="right")
    assert [index for (index,) in counted] == wanted.tolist() and nothing == (None,)
    assert len(bins.names) == len(bins.starts)


def test_of_face_crops_a_label_without_a_box_counts_once() -> None:
    boxes = [("p0", None), ("p0", 1.0), ("p1", 1.0), ("p2", 1.0), ("p2", 5.0)]
    known = pd.DataFrame(boxes, columns=["key", "face_left"]).assign(age=range(5))
    chosen = labels_of_crops(known, "key")
    assert dict(zip(chosen["key"], chosen["age"], strict=True)) == {"p0": 0, "p1": 2}


def test_quality_is_that_of_the_labelled_faces_and_what_has_none_is_told(tmp_path: Path) -> None:
    part = random_faces(3, 900)
    output = write_run(tmp_path, part)
    frame: Any = part.to_pandas()
    first = frame[frame["face"] == 0]
    nobody = first.head(2).assign(uri=["/photos/none/1.jpg", "/photos/none/2.jpg"])
    tables.write_table(str(tmp_path / "labels.parquet"), labels_table(pd.concat([first, nobody])))
    none = quarantine_of("/photos/none/1.jpg", "/photos/none/2.jpg", "/photos/none/3.jpg")
    tables.write_table(f"{output}/quarantine/shard-00000.parquet", none)
    figures = collect(ReportOptions(output, str(tmp_path / "labels.parquet")))
    area = frame["face_width"] * frame["face_height"]
    second = area[frame["face"] == 1].set_axis(frame["uri"][frame["face"] == 1])
    is_main = area[frame["face"] == 0].to_numpy() >= 2 * second.reindex(first["uri"]).fillna(0)
    quality = figures["quality"]
    assert quality["labelled"] == is_main.sum() < 900
    assert quality["without_face"] == {
        NONE_LARGEST: 900 - is_main.sum(),
        NO_FACE: 2,
    }
    main = first[is_main.to_numpy()]
    known = main["age_years"].notna()
    assert quality["metrics"]["age_mae"]["value"] == pytest.approx(1, abs=0.1)
    assert quality["metrics"]["age_mae"]["images"] == known.sum()
    cells = {
        cell["group"]["eye_distance_px"]: cell for cell in quality["by_face"]["eye_distance_px"]
    }
    assert list(cells) == [name for name in face_bins.EYE_DISTANCE.names if name in cells]
    size = main["eye_distance_px"].between(64, 96, inclusive="left")
    assert cells["64 to 96 px"]["images"] == size.sum()
    assert cells["64 to 96 px"]["gender_accuracy"]["value"] == 1
    for name in ("roll_degrees", "face_score"):
        assert sum(cell["images"] for cell in quality["by_face"][name]) == is_main.sum()
    text = render(figures)
    assert "labels match no face" in text
    assert "Age error by distance of the eyes" in text
    assert "Gender accuracy by detector score" in text
    flat: Any = as_table(figures).to_pandas()
    assert {"faces", "by_face"} <= set(flat["section"])
    assert not flat["value"].str.contains("images").any()
    assert as_json(figures)["quality"]["by_face"]


def test_a_sample_of_labelled_faces_has_whole_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = random_faces(4, 600)
    frame: Any = part.to_pandas()
    source = find_predictions(write_run(tmp_path, part))
    tables.write_table(str(tmp_path / "l.parquet"), labels_table(frame[frame["face"] == 0]))
    whole = label_join.join_labels(source, str(tmp_path / "l.parquet"))
    monkeypatch.setattr(label_join, "MAX_ROWS", 400)
    sampled = label_join.join_labels(source, str(tmp_path / "l.parquet"))
    assert sampled.one_in == 1 + len(frame) // 400
    assert set(sampled.rows["uri"]) < set(whole.rows["uri"])
    assert sampled.matched == pytest.approx(whole.matched, rel=0.25)


def test_labels_with_boxes_are_read_from_a_manifest_as_ingest_writes_it(tmp_path: Path) -> None:
    part = random_faces(5, 80)
    frame: Any = part.to_pandas()
    boxes = frame[list(manifest.BOX)]
    boxes = boxes.assign(face_left=boxes["face_left"] + boxes["face_width"] / 8)
    tables.write_table(str(tmp_path / "l.parquet"), labels_table(frame, **boxes))
    joined = label_join.join_labels(
        find_predictions(write_run(tmp_path, part)), str(tmp_path / "l.parquet")
    )
    assert joined.matched == len(frame)
    error = (joined.rows["true_age_years"] - joined.rows["age_years"]).dropna()
    assert error.between(0, 1.01).all()


def test_drift_compares_sizes_of_pictures_only_with_their_like(tmp_path: Path) -> None:
    faces = write_run(tmp_path / "faces", random_faces(6, 300))
    whole = write_run(tmp_path / "whole", random_predictions(6, 300), faces="crop")
    sizes = {"width", "height", "aspect"}

    def drift(predictions: str, reference: str) -> tuple[set[str], list[str]]:
        figures = collect(ReportOptions(predictions, reference=reference))
        assert render(figures)
        columns = {row["name"] for row in figures["drift"]["columns"]}
        return columns & sizes, figures["drift"]["skipped"]

    assert drift(faces, faces) == (sizes, [])
    assert drift(whole, whole) == (sizes, [])
    for pair in ((faces, whole), (whole, faces)):
        assert drift(*pair) == (set(), ["width", "height", "aspect"])


@pytest.fixture(scope="module")
def scored(untrained: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scoring output of drawn scenes, really searched for faces."""
    folder = tmp_path_factory.mktemp("scenes")
    for number in range(6):
        places = [(3 * number, 20, 60, 220), (3 * number + 1, 380, 120, 130)][: 1 + number % 2]
        exif = Image.Exif()
        exif[0x0112] = 6 if number == 3 else 1  # turned by a quarter, as telephones write them
        picture = scene(*places)
        stored = picture.transpose(Image.Transpose.ROTATE_90) if number == 3 else picture
        stored.save(folder / f"{number}.jpg", quality=92, exif=exif)
    entries = [
        {"uri": str(path), "bytes": None, "offset": None} for path in sorted(folder.glob("*.jpg"))
    ]
    decode = decode_entries_with(crops_of, FaceSearch(min_score=0.5))
    rows = score_entries(entries, Predictor(untrained, batch_size=4), decode=decode)
    write_run(folder, rows.predictions)
    return folder


def test_the_contact_sheet_shows_faces_and_boxes_and_nothing_unasked(scored: Path) -> None:
    rows = tables.read_table(str(scored / "predictions")).to_pylist()
    assert len(rows) >= 6
    sheets = contact_sheet.sheets(find_predictions(str(scored)), None, None)
    assert [sheet.title for sheet in sheets] == [
        "Most certain gender", "Least certain gender", "A few images with their faces",
    ]  # fmt: skip
    text = render(collect(ReportOptions(str(scored))), sheets)
    assert text.count("<img") == sum(len(sheet.shown) for sheet in sheets)
    assert "<img" not in render(collect(ReportOptions(str(scored))))
    assert all("face" in shown.alt for sheet in sheets for shown in sheet.shown)


def test_a_face_is_cut_out_of_the_upright_picture_with_a_margin(scored: Path) -> None:
    rows = tables.read_table(str(scored / "predictions")).to_pylist()
    turned = [row for row in rows if row["uri"].endswith("3.jpg")]
    assert turned
    assert (turned[0]["width"], turned[0]["height"]) == (640, 420)
    for row in turned:
        picture = contact_sheet._decoded(row["uri"], lambda *_: 1.0)
        assert picture is not None
        box = [row[name] for name in manifest.BOX]
        cut = contact_sheet._cut(picture, box)
        side = max(box[2:]) * 1.6
        assert cut.width <= side + 2
        assert cut.height <= side + 2
        upright = scene((9, 20, 60, 220), (10, 380, 120, 130))
        x, y = box[0] + box[2] / 2 - side / 2, box[1] + box[3] / 2 - side / 2
        corners = (max(0, x), max(0, y), min(640, x + side), min(420, y + side))
        wanted = upright.crop(tuple(round(edge) for edge in corners)).resize(cut.size)
        assert np.abs(np.asarray(cut, float) - np.asarray(wanted, float)).mean() < 4


def test_a_picture_that_is_gone_is_left_out_of_the_sheet(scored: Path, tmp_path: Path) -> None:
    part = random_faces(7, 30)
    assert contact_sheet.sheets(find_predictions(write_run(tmp_path, part)), None, None) == []


@pytest.mark.timeout(120)
@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
def test_the_page_with_faces_fits_in_a_browser(scored: Path, tmp_path: Path) -> None:
    part = random_faces(8, 500)
    frame: Any = part.to_pandas()
    tables.write_table(str(tmp_path / "l.parquet"), labels_table(frame[frame["face"] == 0]))
    figures = collect(ReportOptions(write_run(tmp_path, part), str(tmp_path / "l.parquet")))
    page = tmp_path / "report.html"
    page.write_text(
        render(figures, contact_sheet.sheets(find_predictions(str(scored)), None, None))
    )
    with browser.chromium(tmp_path / "profile") as driver:
        for width, scheme in ((1280, "light"), (390, "dark")):
            seen = browser.visit(driver, page, width, scheme)
            assert seen["console"] == []
            assert seen["overflow"] == []
            assert seen["scroll_width"] <= width
