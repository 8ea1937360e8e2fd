"""What folds say for a network that saw every label: what it learns, and whether int8 may be."""

import dataclasses
import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from demo.drawn_faces import draw_faces
from model.backends.selection import INT8
from model.bundle import Bundle
from model.heads import AGE, GENDER, Head
from model.predictor import Predictor
from model.presets import preset
from pipelines.bundles.calibrating import (
    FromFolds,
    complete_from_folds,
    int8_of_fold,
    judged_by_folds,
)
from pipelines.bundles.labelled_images import LabelledImages
from pipelines.bundles.networks import NOT_ASKED
from pipelines.manifests import manifest
from pipelines.manifests.ingest import ingest, write_ingested
from pipelines.manifests.options import IngestOptions
from pipelines.predictions import out_of_fold
from pipelines.predictions.raw_predictions import REFERENCE, RawPredictions, labels_of
from pipelines.training.final import taught_by
from pipelines.training.fold_figures import measure_folds
from tests.bundles import untrained_bundle
from tests.runs import training_job

COUNT = 1200
HEADS = (GENDER, Head("age", "age_years", "distribution"))


def _distribution(age: Any, doubt: Any) -> Any:
    years = np.exp(-0.5 * ((np.arange(117) - age[:, None]) / doubt[:, None]) ** 2)
    return (years / years.sum(axis=1, keepdims=True)).astype(np.float32)


@functools.cache
def _rows(
    int8_years: float = 0.0, int8: bool = True, int8_sure: bool = False
) -> tuple[pa.Table, pa.Table]:
    """A manifest of photographs and of faces found in them, and what two folds say of it."""
    rng = np.random.default_rng(0)
    ages = rng.integers(20, 60, COUNT)
    female = rng.random(COUNT) < 0.5
    frame = pd.DataFrame({name: [None] * COUNT for name in manifest.MANIFEST_SCHEMA.names})
    frame["uri"] = [f"{number // 2}.jpg" for number in range(COUNT)]  # as it is, and its face
    frame["face_left"] = np.where(np.arange(COUNT) % 2, 7.5, np.nan)
    frame["content_hash"] = frame["uri"]
    frame["age_years"], frame["split"] = ages.astype(np.float32), "train"
    frame["gender"] = np.where(female, "female", "male")
    table = manifest.from_frame(frame)
    doubt = rng.choice([1.0, 9.0], COUNT)
    said_ages = ages + rng.normal(0, doubt)
    columns: dict[str, Any] = {
        "age_years": said_ages.astype(np.float32),
        "p_female": np.where(female, 0.8, 0.3).astype(np.float32),
        "age_distribution": _distribution(said_ages, doubt),
    }
    pictures = {
        name: np.ones(COUNT, np.float32)
        for name in ("width", "height", "brightness", "contrast", "sharpness")
    }
    said = {**columns, "age_years": columns["age_years"] + np.float32(int8_years)}
    if int8_sure:
        said["age_distribution"] = _distribution(said_ages, doubt / 3)
    outputs = {"float32": columns, "int8": said} if int8 else {"float32": columns}
    raw = RawPredictions(labels_of(table), pictures, outputs, HEADS)
    mine = [np.arange(COUNT) // 2 % 2 == fold for fold in (0, 1)]
    parts = [out_of_fold.of_one_fold(raw.where(mine[fold]), fold, "x") for fold in (0, 1)]
    return table, out_of_fold.joined(parts, HEADS)


def _folds(rows: pa.Table) -> RawPredictions:
    return out_of_fold.raw_predictions(rows, HEADS)


def test_a_label_with_two_rows_is_measured_once_and_the_face_found_beside_it(
    tmp_path: Path,
) -> None:
    _, rows = _rows()
    once, found = out_of_fold.apart(rows)
    assert (once.num_rows, found.num_rows) == (COUNT // 2, COUNT // 2)
    assert once["face_left"].null_count == COUNT // 2 and not found["face_left"].null_count
    alone = out_of_fold.apart(found)  # pictures of which faces alone are labelled
    assert (alone[0].num_rows, alone[1].num_rows) == (COUNT // 2, 0)
    job = training_job(preset("facemill"), "m", str(tmp_path))
    trained: Any = [SimpleNamespace(bundle_id="x", best_epoch=1, history=[{"val_loss": 1.0}])]
    record = measure_folds(job, rows, trained).record
    assert record["images"] == record["found"]["images"] == COUNT // 2
    assert record["metrics"]["age_mae"]["images"] == COUNT // 2
    assert record["metrics"] != record["found"]["metrics"]


def test_what_a_bundle_is_measured_and_judged_on_has_one_row_of_each_label() -> None:
    table, _ = _rows()
    answers = {"age_years": np.arange(COUNT)}
    outputs = {"float32": answers, "int8": answers}
    once = RawPredictions(labels_of(table), {"width": np.arange(COUNT)}, outputs).once
    assert once.rows["face_left"].null_count == len(once) == COUNT // 2
    for columns in (once.statistics, *once.outputs.values()):
        assert [values.tolist() for values in columns.values()] == [list(range(0, COUNT, 2))]


def test_each_image_is_taught_what_the_fold_that_did_not_see_it_says_of_it() -> None:
    table, rows = _rows()
    unanswered = table.slice(0, 2)
    some = rows.filter(pa.array([uri != "0.jpg" for uri in rows["uri"].to_pylist()]))
    taught = taught_by(_folds(some), table, HEADS)
    assert {name: values.shape for name, values in taught.items()} == {
        "gender": (COUNT, 1),
        "age": (COUNT, 117),
    }
    assert np.isnan(taught["age"][: len(unanswered)]).all()
    by_key = {
        (row["uri"], row["face_left"]): (row["p_female_raw"], row["age_distribution"])
        for row in rows.to_pylist()
    }
    for number in (2, 3, 500, COUNT - 1):
        row = table.slice(number, 1).to_pylist()[0]
        female, distribution = by_key[row["uri"], row["face_left"]]
        assert taught["gender"][number, 0] == np.float32(female)
        assert taught["age"][number].tolist() == pytest.approx(distribution)


def test_heads_of_other_kinds_are_taught_as_their_outputs_are() -> None:
    table, rows = _rows()
    two = Head("two", "gender", "classes", ("male", "female"))
    taught = taught_by(_folds(rows), table, (two, AGE))
    assert taught["two"].sum(axis=1).tolist() == pytest.approx([1.0] * COUNT)
    assert np.abs(taught["age"][:, 0] - table["age_years"].to_numpy()).mean() < 6


@pytest.mark.parametrize(
    ("how", "asked", "refused"),
    [
        ({}, True, None),
        ({"int8_years": 3.0}, True, "its age error is +"),
        ({"int8_sure": True}, True, "its intervals hold -"),
        ({"int8": False}, True, "not every fold has an int8 network to measure it by"),
        ({}, False, "it was not asked for"),
    ],
)
def test_int8_networks_of_the_folds_judge_that_of_the_final_one(
    how: dict[str, Any], asked: bool, refused: str | None
) -> None:
    _, rows = _rows(**how)
    folds = _folds(rows)
    fitted = folds.fit({})
    assert fitted[REFERENCE]["age"]["method"] == "cqr"
    judged = judged_by_folds(folds, fitted, asked)
    if refused is None:
        assert judged["calibration"]["age"] == fitted[REFERENCE]["age"]
        assert judged["moves"] == {"age_years": 0.0, "p_female": 0.0}
        change = judged["changes"]["out_of_fold"]
        assert (change["images"], change["coverage"]) == (COUNT // 2, 0)
    else:
        assert judged["refused"].startswith(refused)
        assert "calibration" not in judged
    if how.get("int8_years"):
        assert judged["refused"].endswith("years higher on out-of-fold images")


@pytest.fixture(scope="module")
def seen(
    tmp_path_factory: pytest.TempPathFactory, ray_session: None
) -> tuple[Bundle, LabelledImages]:
    folder = tmp_path_factory.mktemp("seen")
    draw_faces(folder / "faces", 24, seed=0)
    options = IngestOptions(str(folder / "faces"), split="1,0,0")
    write_ingested(ingest(options), options, str(folder / "manifest"))
    bundle = untrained_bundle(folder / "bundle")
    return bundle, LabelledImages(manifest.read_manifest(str(folder / "manifest")), bundle.input)


def _moving() -> RawPredictions:
    """Folds whose int8 networks move every prediction far, and for the better."""
    folds = _folds(_rows()[1])
    int8 = folds.outputs["int8"]
    reference = {
        **int8,
        "age_years": int8["age_years"] + 100,
        "p_female": 0.5 + (int8["p_female"] - 0.5) / 10,
    }
    return dataclasses.replace(folds, outputs={"float32": reference, "int8": int8})


@pytest.mark.parametrize("moving", [True, False])
def test_an_int8_network_that_moves_more_than_its_folds_did_is_left_out(
    seen: tuple[Bundle, LabelledImages], tmp_path: Path, moving: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bundle, images = seen
    folds = FromFolds(_moving() if moving else _folds(_rows()[1]), "f", {})
    made = complete_from_folds(bundle, folds, images, tmp_path / "complete")
    kept = (made.folder / "openvino-int8.xml").exists()
    assert kept == moving == ("calibration" in made.record["int8"])
    assert (made.folder / "openvino.xml").exists()
    told = capsys.readouterr().err
    assert ("has no int8 network" in told) == (not moving)
    if not moving:
        assert "the folds' by 0" in made.record["int8"]["refused"]
        assert "has no int8 network: it changes " in told


def test_a_fold_s_int8_network_answers_though_its_own_val_spoke_against_it(
    seen: tuple[Bundle, LabelledImages], tmp_path: Path
) -> None:
    bundle, images = seen
    many = LabelledImages(pa.concat_tables([images.table] * 21), bundle.input)

    def made_of(refused: str, images: LabelledImages) -> Bundle | None:
        record = {**bundle.record, "int8": {"refused": refused}}
        return int8_of_fold(dataclasses.replace(bundle, record=record), images, tmp_path)

    assert made_of(NOT_ASKED, many) is None
    assert made_of("val has fewer than 500 labelled images", images) is None  # as have all folds
    made = made_of("val has fewer than 500 labelled images", many)
    assert made
    assert Predictor(made, INT8).predict(np.zeros((1, *bundle.input.shape), np.uint8))


def test_nobody_is_told_that_what_was_not_asked_for_is_missing(
    seen: tuple[Bundle, LabelledImages], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = FromFolds(_folds(_rows()[1]), "f", {})
    made = complete_from_folds(seen[0], folds, seen[1], tmp_path / "complete", int8=False)
    assert made.record["int8"] == {"refused": NOT_ASKED}
    assert capsys.readouterr().err == ""
