"""Scoring photographs: every face is a row, every picture is accounted for, whoever dies."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from model.bundle import Bundle
from model.errors import FacemillError, UsageError
from model.faces.crops import FaceSearch, crops_of
from model.predictor import Predictor
from pipelines.bundles.opening import copy_bundle
from pipelines.configuration import build
from pipelines.images.batches import decode_entries, decode_entries_with
from pipelines.images.face_options import FaceLimits
from pipelines.images.guarded_decoder import IsolatedDecoder
from pipelines.predictions import frozen_inputs, layout, schemas
from pipelines.predictions.run_record import ShardRecord, write_run
from pipelines.predictions.verification import verify
from pipelines.scoring import run
from pipelines.scoring.options import Limits, ScoreOptions
from pipelines.scoring.placement import Placement
from pipelines.scoring.plan import claim
from pipelines.scoring.printing import predicted_lines
from pipelines.scoring.rows import score_entries
from pipelines.scoring.worker import Attempts, ShardScorer
from pipelines.storage import tables
from tests.photographs import encoded, faceless, portrait, scene
from tests.robustness.deadly import DECODER, poisoned
from tests.runs import place_as_on_a_gpu, score, score_options, scoring_job

FUSED = Placement(False, 1, 1, "")
TWO = [(20, 30, 150), (250, 40, 200)]
THREE = [(10, 10, 180), (250, 20, 230), (480, 150, 120)]
FACES = {"a_one.jpg": 1, "b_three.jpg": 3, "d_two.png": 2, "f_three.jpg": 3, "i_two.jpg": 2}
REASONS = {"decode: truncated": 1, "detect: no_face": 1, "list: not_an_image_name": 2}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photographs of 11 faces, one of nobody, one cut short, two files beside them."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "a_one.jpg").write_bytes(encoded(portrait(), "JPEG"))
    for name, heads in (
        ("b_three.jpg", THREE), ("d_two.png", TWO), ("f_three.jpg", THREE), ("i_two.jpg", TWO),
    ):  # fmt: skip
        kind = "PNG" if name.endswith("png") else "JPEG"
        (folder / name).write_bytes(encoded(scene(700, 300, heads, seed=ord(name[0])), kind))
    (folder / "c_nobody.jpg").write_bytes(encoded(faceless(400, 300), "JPEG"))
    (folder / "e_broken.jpg").write_bytes(encoded(portrait(), "JPEG")[:9000])
    (folder / "g_beside.xmp").write_text("<x:xmpmeta/>")
    (folder / "h_beside.json").write_text("{}")
    return folder


def _options(folder: Path, output: Path, **options: Any) -> ScoreOptions:
    return score_options(
        images=(str(folder),), output=str(output), faces="detect", compute="float32", **options
    )


def _scored(
    options: ScoreOptions, bundle: Bundle, shard_rows: int = 4, died: int | None = None
) -> dict[str, Any]:
    """A run by the worker's code alone, without Ray; a shard that `died` is decoded apart."""
    job = claim(scoring_job(options, bundle))
    copy_bundle(bundle, layout.path(options.place, layout.BUNDLE))
    frozen = frozen_inputs.freeze(options.place, job.job.source.parts(), shard_rows)
    if died is not None:
        Attempts(options.place, died).begin()
    count = len(frozen.rows)
    columns = ShardScorer(job.settings, FUSED)({"shard": np.arange(count)})
    records = {
        i: ShardRecord(**{name: column[i].item() for name, column in columns.items()})
        for i in range(count)
    }
    return write_run(options.place, job.lineage(), frozen, records, 1.0)


@pytest.fixture(scope="module")
def finished(photographs: Path, untrained: Bundle, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished run over `photographs`; read only."""
    output = tmp_path_factory.mktemp("finished") / "out"
    _scored(_options(photographs, output), untrained)
    return str(output)


def _by_name(output: str) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in schemas.read_predictions(output).to_pylist():
        rows.setdefault(Path(row["uri"]).name, []).append(row)
    return rows


def test_every_face_is_a_row_and_every_picture_is_accounted_for(finished: str) -> None:
    rows = _by_name(finished)
    assert {name: len(faces) for name, faces in rows.items()} == FACES
    for faces in rows.values():
        assert [row["face"] for row in faces] == list(range(len(faces)))
        assert {row["faces"] for row in faces} == {len(faces)}
        areas = [row["face_width"] * row["face_height"] for row in faces]
        assert areas == sorted(areas, reverse=True)
    record = json.loads(Path(finished, "run.json").read_text())
    assert (record["inputs"], record["scored"], record["quarantined"]) == (9, 5, 4)
    assert (record["rows"], record["faces_skipped"]) == (11, 0)
    assert record["quarantine_reasons"] == REASONS
    quarantine = schemas.read_quarantine(finished).to_pylist()
    assert {Path(row["uri"]).name: row["error"] for row in quarantine} == {
        "c_nobody.jpg": "no_face", "e_broken.jpg": "truncated",
        "g_beside.xmp": "not_an_image_name", "h_beside.json": "not_an_image_name",
    }  # fmt: skip


def test_a_row_says_where_its_face_is(finished: str) -> None:
    (row,) = _by_name(finished)["a_one.jpg"]
    assert (row["width"], row["height"]) == (512, 512)
    assert (row["face_left"], row["face_top"]) == (
        pytest.approx(179, abs=4), pytest.approx(63, abs=4),
    )  # fmt: skip
    assert row["face_landmarks"][:2] == [pytest.approx(202, abs=3), pytest.approx(103, abs=3)]
    assert row["eye_distance_px"] == pytest.approx(43, abs=3)
    assert abs(row["roll_degrees"]) < 5
    assert 0.85 <= row["face_score"] <= 1
    assert row["age_years"] is not None


def test_verify_proves_it(finished: str) -> None:
    proof = verify(finished)
    assert proof.problems == ()
    assert (proof.inputs, proof.scored, proof.quarantined, proof.rows) == (9, 5, 4, 11)


def _last_removed(table: pa.Table) -> pa.Table:
    return table.slice(0, table.num_rows - 1)


def _first_removed(table: pa.Table) -> pa.Table:
    return table.slice(1)


def _doubled(table: pa.Table) -> pa.Table:
    return table.take([0, 0, *range(1, table.num_rows)])


def _gap(table: pa.Table) -> pa.Table:
    face = pa.array([0, 2, 3][: table.num_rows], pa.int32())
    return table.set_column(table.schema.get_field_index("face"), table.schema.field("face"), face)


def _swapped(table: pa.Table) -> pa.Table:
    return table.take([1, 0, *range(2, table.num_rows)])


@pytest.mark.parametrize("spoil", [_last_removed, _first_removed, _doubled, _gap, _swapped])
def test_verify_finds_what_is_wrong_with_a_picture_s_faces(
    untrained: Bundle, tmp_path: Path, spoil: Any
) -> None:
    (tmp_path / "in").mkdir()
    picture = tmp_path / "in" / "three.png"
    picture.write_bytes(encoded(scene(700, 300, THREE)))
    _scored(_options(tmp_path / "in", tmp_path / "out"), untrained)
    shard = str(tmp_path / "out" / "predictions" / "shard-00000.parquet")
    table = tables.read_table(shard)
    assert table.num_rows == 3
    tables.write_table(shard, spoil(table))
    wrong = f": the faces of {str(picture)!r} are not numbered from 0 without a gap"
    assert any(problem.endswith(wrong) for problem in verify(str(tmp_path / "out")).problems)


def test_a_shard_of_nobody_is_whole(untrained: Bundle, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for seed in range(3):
        (tmp_path / "in" / f"{seed}.png").write_bytes(encoded(faceless(300, 200, seed)))
    record = _scored(_options(tmp_path / "in", tmp_path / "out"), untrained, shard_rows=2)
    assert (record["scored"], record["rows"]) == (0, 0)
    assert record["quarantine_reasons"] == {"detect: no_face": 3}
    assert verify(str(tmp_path / "out")).problems == ()


def _entries(folder: Path) -> list[dict[str, Any]]:
    return [{"uri": str(path)} for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_faces_of_a_picture_may_lie_in_two_batches(
    photographs: Path, finished: str, untrained: Bundle, batch_size: int
) -> None:
    steps = list[int]()
    scored = score_entries(
        _entries(photographs), Predictor(untrained, batch_size=batch_size),
        decode=decode_entries_with(crops_of, FaceSearch()), on_batch=steps.append,
    )  # fmt: skip
    whole = schemas.read_predictions(finished)
    for name in ("uri", *schemas.FACE_COLUMNS, "brightness", "sharpness"):
        assert scored.predictions[name].to_pylist() == whole[name].to_pylist()
    ages = [table["age_years"].to_numpy() for table in (scored.predictions, whole)]
    np.testing.assert_allclose(*ages, rtol=1e-3)
    assert (scored.pictures, scored.quarantine.num_rows) == (5, 4)
    assert sum(steps) == 7  # the two files beside them are no work


def test_a_picture_counts_where_its_last_face_is(photographs: Path, untrained: Bundle) -> None:
    entries = [entry for entry in _entries(photographs) if "three" in entry["uri"]]
    batches = list(decode_entries(entries, untrained.input, 4, wanted=FaceSearch()))
    assert [(len(batch.crops), batch.pictures) for batch in batches] == [(4, 1), (2, 1)]
    numbers = [crop.number for batch in batches for crop in batch.crops]
    assert numbers == [0, 1, 2, 0, 1, 2]


def test_a_shard_scored_again_apart_gives_the_same_rows(
    photographs: Path, finished: str, untrained: Bundle, tmp_path: Path
) -> None:
    """As after a worker's death: in smaller shards, one of them with its pictures decoded apart."""
    output = tmp_path / "out"
    _scored(_options(photographs, output), untrained, shard_rows=4, died=0)
    for read in (schemas.read_predictions, schemas.read_quarantine):
        assert read(str(output)).equals(read(finished))
    assert verify(str(output)).problems == ()


def test_a_decoder_that_dies_on_one_photograph_costs_that_one(
    photographs: Path, finished: str, untrained: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a_one.jpg", "b_three.jpg", "f_three.jpg"):
        data = (photographs / name).read_bytes()
        (folder / name).write_bytes(poisoned(data, "segv") if name[0] == "b" else data)
    options = _options(folder, tmp_path / "out", decoder=DECODER)
    record = _scored(options, untrained, died=0)
    assert record["quarantine_reasons"] == {"decode: crashed": 1}
    rows, whole = _by_name(str(tmp_path / "out")), _by_name(finished)
    assert sorted(rows) == ["a_one.jpg", "f_three.jpg"]
    for name, faces in rows.items():
        assert [row["face_landmarks"] for row in faces] == [
            row["face_landmarks"] for row in whole[name]
        ]
    assert verify(options.place).problems == ()


@pytest.mark.parametrize(
    "wanted", [FaceSearch(), FaceSearch(max_faces=2), FaceSearch(min_eye_distance_px=900)]
)
def test_the_isolated_decoder_finds_the_very_same(
    photographs: Path, untrained: Bundle, wanted: FaceSearch
) -> None:
    decoder = IsolatedDecoder()
    try:
        for name in ("b_three.jpg", "c_nobody.jpg"):
            data = (photographs / name).read_bytes()
            here = crops_of(data, untrained.input, wanted)
            there = decoder(data, untrained.input, wanted)
            assert there.faces == here.faces
            np.testing.assert_array_equal(there.pixels, here.pixels)
            assert (there.width, there.height, there.skipped) == (
                here.width, here.height, here.skipped,
            )  # fmt: skip
            points = tuple(float(value) for value in range(20, 30))
            given, here = decoder(data, untrained.input, points), crops_of(
                data, untrained.input, points
            )  # fmt: skip
            np.testing.assert_array_equal(given.pixels, here.pixels)
    finally:
        decoder.close()


def test_faces_left_out_are_counted_and_a_picture_of_nobody_else_is_one_of_nobody(
    photographs: Path, untrained: Bundle, tmp_path: Path
) -> None:
    options = _options(photographs, tmp_path / "out", min_eye_distance_px=36, max_faces=1)
    record = _scored(options, untrained)
    rows = _by_name(options.place)
    assert {name: len(faces) for name, faces in rows.items()} == dict.fromkeys(FACES, 1)
    assert (record["rows"], record["faces_skipped"]) == (5, 6)
    assert verify(options.place).problems == ()
    larger = _options(photographs, tmp_path / "none", min_eye_distance_px=40)
    record = _scored(larger, untrained)
    messages = schemas.read_quarantine(larger.place).filter(pc.field("error") == "no_face")
    assert sorted(set(messages["message"].to_pylist())) == [
        "all 2 faces are smaller than the minimum size",
        "no face was detected",
    ]
    assert record["faces_skipped"] == 4 + 4


@pytest.mark.timeout(240)
def test_finding_apart_from_the_network_gives_the_same_rows_and_nobody_is_no_failure(
    photographs: Path,
    finished: str,
    untrained: Bundle,
    tmp_path: Path,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "QUARANTINE_SAMPLE", 5)
    place_as_on_a_gpu(monkeypatch)
    # 1 of 9 has failed; 4 of 9 are in quarantine
    options = _options(photographs, tmp_path / "out", max_quarantine="20%")
    result = score(options, untrained)
    assert (result.record["rows"], result.record["quarantine_reasons"]) == (11, REASONS)
    apart, here = (schemas.read_predictions(place) for place in (options.place, finished))
    for name in ("uri", *schemas.FACE_COLUMNS, "brightness", "contrast", "sharpness"):
        assert apart[name].to_pylist() == here[name].to_pylist()
    np.testing.assert_allclose(apart["age_years"].to_numpy(), here["age_years"].to_numpy(), 1e-3)
    apart, here = (schemas.read_quarantine(p).sort_by("uri") for p in (options.place, finished))
    assert apart.equals(here)
    assert verify(options.place).problems == ()


def _record(reasons: dict[str, int]) -> ShardRecord:
    bad = sum(reasons.values())
    return ShardRecord(0, 500 - bad, bad, "", "", json.dumps(reasons), 0.0, 1.0, "CPU", 500, 0)


def test_pictures_of_nobody_do_not_count_as_failures() -> None:
    limits = Limits(max_quarantine="10%")
    nobody = {"detect: no_face": 300, "list: not_an_image_name": 100}

    def check(truncated: int) -> None:
        record = _record(nobody | {"decode: truncated": truncated})
        run._check_quarantine(limits, 500, Counter(run.failures_of(record)))

    check(50)
    with pytest.raises(
        FacemillError, match=r"^12\.0% of the first 500 inputs .*decode: truncated\)"
    ):
        check(60)


def test_a_picture_is_answered_face_by_face(
    photographs: Path, untrained: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("d_two.png", "c_nobody.jpg", "e_broken.jpg")
    options = ScoreOptions(images=tuple(str(photographs / name) for name in names))
    lines = list(predicted_lines(options, untrained))
    assert re.fullmatch(r"d_two\.png     face 1 of 2  (fe)?male \(\d+ %\)  \d+ years", lines[0])
    assert lines[1].startswith("d_two.png     face 2 of 2  ")
    assert lines[2] == "c_nobody.jpg  not scored: no face was detected"
    assert lines[3].startswith("e_broken.jpg  not scored: ")
    whole = build(ScoreOptions, images=(str(photographs / "a_one.jpg"),), faces="crop")
    (line,) = predicted_lines(whole, untrained)
    assert "face" not in line


@pytest.mark.parametrize("name", ["out.webp", "OUT.JPEG"])
def test_a_picture_is_drawn_with_its_faces(
    photographs: Path, untrained: Bundle, tmp_path: Path, name: str
) -> None:
    source = photographs / "d_two.png"
    options = ScoreOptions(images=(str(source),), draw=str(tmp_path / name))
    assert len(list(predicted_lines(options, untrained))) == 2
    before = np.asarray(Image.open(source).convert("RGB"), dtype=int)
    after = np.asarray(Image.open(tmp_path / name).convert("RGB"), dtype=int)
    assert before.shape == after.shape
    changed = np.abs(before - after).max(axis=-1) > 60
    assert changed[:, :220].any()  # one of the heads
    assert changed[:, 260:450].any()  # the other
    assert changed.mean() < 0.3


def test_where_no_image_has_an_answer_the_job_fails_after_its_lines(
    photographs: Path, untrained: Bundle
) -> None:
    names = ("c_nobody.jpg", "e_broken.jpg")
    options = ScoreOptions(images=tuple(str(photographs / name) for name in names))
    lines = predicted_lines(options, untrained)
    assert [next(lines).split()[1] for _ in names] == ["not", "not"]
    with pytest.raises(FacemillError, match=r"^no image was scored"):
        next(lines)


def test_a_picture_of_nobody_is_not_drawn(
    photographs: Path, untrained: Bundle, tmp_path: Path
) -> None:
    target = tmp_path / "out.jpg"
    options = ScoreOptions(images=(str(photographs / "c_nobody.jpg"),), draw=str(target))
    with pytest.raises(FacemillError):
        list(predicted_lines(options, untrained))
    assert not target.exists()


ONE = "`draw` needs one image, and not `faces` crop: it draws the detected faces"


@pytest.mark.parametrize(
    ("names", "draw", "faces", "sentence"),
    [
        (("a_one.jpg", "d_two.png"), "out.jpg", "auto", ONE),
        (("a_one.jpg",), "out.jpg", "crop", ONE),
        (("a_one.jpg",), "out.gif", "auto", "`draw` out.gif must end in .jpg, .png or .webp"),
        (("a_one.jpg",), "out", "detect", "`draw` out must end in .jpg, .png or .webp"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(
    photographs: Path, untrained: Bundle, names: tuple[str, ...], draw: str, faces: Any,
    sentence: str,
) -> None:  # fmt: skip
    images = tuple(str(photographs / name) for name in names)
    options = ScoreOptions(images=images, draw=draw, faces=faces)
    with pytest.raises(UsageError, match=f"^{re.escape(sentence)}$"):
        list(predicted_lines(options, untrained))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"min_face_score": 0.3}, "`min_face_score` 0.3 must be from 0.4 to 1"),
        ({"min_face_score": float("nan")}, "`min_face_score` nan must be from 0.4 to 1"),
        ({"min_eye_distance_px": 0.5}, "`min_eye_distance_px` 0.5 must be from 1 to 10,000"),
        ({"max_faces": 0}, "`max_faces` 0 must be from 1 to 10,000"),
        ({"max_faces": 20_000}, "`max_faces` 20,000 must be from 1 to 10,000"),
    ],
)
def test_numbers_out_of_range_are_sentences(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(sentence)}$"):
        FaceLimits(**values)
