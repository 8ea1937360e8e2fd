"""`faces` auto looks at a sample, says what it saw, and holds to it."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from model.bundle import Bundle
from model.errors import UsageError
from model.faces.crops import FaceSearch, crops_of
from model.preprocessing import InputSpec
from pipelines.configuration import changed
from pipelines.images.batches import NOT_A_CROP, CropShape, decode_entries_with
from pipelines.predictions import frozen_inputs, layout
from pipelines.scoring import face_mode
from pipelines.scoring.face_mode import SAMPLE, choose, decide, is_aligned_face, sample, some
from pipelines.scoring.options import ScoreOptions
from pipelines.scoring.plan import Plan, claim
from pipelines.scoring.preview import preview
from tests.photographs import encoded, faceless, portrait, scene, turned
from tests.runs import score_options, scoring_job

CHIP = InputSpec(200, 200, "rgb")


def _chip(degrees: float = 0) -> bytes:
    """A picture as UTKFace has them: one aligned face that fills it."""
    crops = crops_of(encoded(turned(degrees)), CHIP, FaceSearch())
    return encoded(Image.fromarray(crops.pixels[0]), "JPEG", quality=90)


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chips")
    for number in range(20):
        (folder / f"{number:02d}.jpg").write_bytes(_chip(number % 5))
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(3):
        heads = [(20, 30, 150), (250, 40, 200)][: 1 + number % 2]
        picture = scene(640, 320, heads, seed=number)
        (folder / f"{number}.jpg").write_bytes(encoded(picture, "JPEG"))
    (folder / "nobody.jpg").write_bytes(encoded(faceless(300, 200), "JPEG"))
    (folder / "portrait.png").write_bytes(encoded(portrait()))
    return folder


def _options(images: Path, output: Path, **options: object) -> ScoreOptions:
    return score_options(images=(str(images),), output=str(output), **{"faces": "auto", **options})


def _decided(options: ScoreOptions, bundle: Bundle) -> Plan:
    job = claim(scoring_job(options, bundle))
    frozen = frozen_inputs.load_frozen(options.place)
    return decide(job, frozen or frozen_inputs.freeze(options.place, job.job.source.parts(), 8))


def _job_json(options: ScoreOptions) -> dict:
    return json.loads(Path(options.place, layout.JOB).read_text())


@pytest.mark.parametrize(
    ("picture", "aligned"),
    [
        (_chip, True),
        (lambda: _chip(5), True),
        (lambda: encoded(portrait()), False),
        (lambda: encoded(scene(400, 300, [])), False),
        (lambda: encoded(scene(640, 320, [(20, 30, 150), (250, 40, 200)])), False),
        (lambda: encoded(turned(0, 2, 400)), False),
    ],
)
def test_what_is_one_aligned_face(picture, aligned: bool) -> None:
    assert is_aligned_face(crops_of(picture(), CHIP, FaceSearch())) is aligned


def test_chips_are_taken_whole_and_job_json_says_why(
    chips: Path, untrained: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = _options(chips, tmp_path / "out")
    foreseen = preview(scoring_job(options, untrained))
    assert not (tmp_path / "out").exists()
    job = _decided(options, untrained)
    because = "20 of 20 sampled images are each one aligned face"
    assert job.faces == "crop"
    assert job.search is None
    assert foreseen.faces == f"crop, as {because}"
    assert f"faces: crop, as {because}" in capsys.readouterr().err
    record = _job_json(options)
    assert (record["faces"], record["faces_because"], record["detection"]) == (
        "crop", because, None,
    )  # fmt: skip


def test_photographs_are_searched_and_job_json_says_by_whom(
    photographs: Path, untrained: Bundle, tmp_path: Path
) -> None:
    options = _options(photographs, tmp_path / "out", min_eye_distance_px=12)
    foreseen = preview(scoring_job(options, untrained))
    job = _decided(options, untrained)
    because = "only 0 of 5 sampled images are each one aligned face"
    assert foreseen.faces == f"detect, as {because}"
    assert job.search == FaceSearch(min_eye_distance_px=12)
    record = _job_json(options)
    assert (record["faces"], record["faces_because"]) == ("detect", because)
    assert record["detection"]["min_eye_distance_px"] == 12
    assert record["detection"]["by"].count(".") == 2


@pytest.mark.parametrize(("others", "faces"), [(2, "crop"), (3, "detect")])
def test_nearly_all_must_be_aligned(
    chips: Path, untrained: Bundle, tmp_path: Path, others: int, faces: str
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(chips, folder)
    for number in range(others):
        (folder / f"x{number}.jpg").write_bytes(encoded(scene(300, 200, [], number), "JPEG"))
    assert _decided(_options(folder, tmp_path / "out"), untrained).faces == faces


def test_the_images_of_the_sample_that_are_no_crops_are_named(
    chips: Path, untrained: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(chips, folder)
    (folder / "clouds.jpg").write_bytes(encoded(scene(300, 200, []), "JPEG"))
    options = _options(folder, tmp_path / "out")
    decided = _decided(options, untrained)
    assert _job_json(options)["faces_because"].endswith(f"; not {folder / 'clouds.jpg'}")
    assert decided.shape == CropShape(1.0, 1.0, 200)
    assert claim(scoring_job(options, untrained)).shape == decided.shape  # of a later driver


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (scene(300, 200, [(20, 30, 150)]), "300x200 pixels is another shape"),
        (scene(500, 500, [(20, 30, 150)]), "500x500 pixels is far larger"),
        (Image.new("RGB", (200, 200), (30, 120, 40)), "it is of one colour"),
        (scene(220, 200, [(0, 0, 200)]), None),
    ],
)
def test_what_is_no_crop_is_not_scored_as_one(
    picture: Image.Image, why: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture))
    decode = decode_entries_with(crops_of, None, CropShape(0.99, 1.01, 200))
    (batch,) = decode([{"uri": str(path)}], CHIP, 8)
    if why is None:
        assert (len(batch.crops), batch.rejected) == (1, [])
        return
    (row,) = batch.rejected
    assert (row["stage"], row["error"]) == ("detect", NOT_A_CROP)
    assert row["message"].startswith(why)


def test_where_nothing_can_be_looked_at_faces_are_looked_for(
    untrained: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"")
    options = _options(tmp_path / "in", tmp_path / "out")
    assert _decided(options, untrained).faces == "detect"
    assert _job_json(options)["faces_because"].startswith("only 0 of 0 sampled images are")


def test_a_choice_is_held_to_when_the_folder_grows(
    chips: Path, photographs: Path, untrained: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(chips, folder)
    options = _options(folder, tmp_path / "out")
    _decided(options, untrained)
    for number in range(60):
        shutil.copy(photographs / "0.jpg", folder / f"photograph{number}.jpg")
    again = scoring_job(changed(options, on_existing="update"), untrained)
    assert again.faces == "crop"
    assert preview(again).faces == "crop"
    assert claim(again).faces == "crop"


@pytest.mark.parametrize(
    ("first", "then"), [("auto", "crop"), ("detect", "crop"), ("crop", "detect")]
)
def test_an_output_of_another_choice_is_refused(
    photographs: Path, untrained: Bundle, tmp_path: Path, first: str, then: str
) -> None:
    options = _options(photographs, tmp_path / "out", faces=first)
    chosen = _decided(options, untrained).faces
    with pytest.raises(UsageError) as error:
        claim(scoring_job(changed(options, faces=then), untrained))
    assert f"`output` {tmp_path / 'out'} holds another run (" in str(error.value)
    assert f"faces was {chosen!r}, is {then!r}" in str(error.value)


def test_an_output_searched_with_other_limits_is_refused(
    photographs: Path, untrained: Bundle, tmp_path: Path
) -> None:
    options = _options(photographs, tmp_path / "out")
    _decided(options, untrained)
    with pytest.raises(UsageError, match=r"holds another run \(detection.min_score was 0.85, is"):
        claim(scoring_job(changed(options, min_face_score=0.6), untrained))


def test_a_sample_depends_on_the_names_and_not_on_their_order() -> None:
    names = [f"/photos/{number}.jpg" for number in range(1000)]
    shards = [pa.table({"uri": names[start : start + 100]}) for start in range(0, 1000, 100)]
    backwards = [pa.table({"uri": names[::-1]})]
    chosen = sample(shards, by_name=True)
    assert len(chosen) == SAMPLE
    assert chosen == sample(backwards, by_name=True)
    assert [entry["uri"] for entry in chosen] != names[:SAMPLE]


def test_files_beside_pictures_are_not_sampled_unless_somebody_chose_them() -> None:
    names = [f"/photos/{number}.{'jpg' if number % 2 else 'xmp'}" for number in range(300)]
    table = pa.table({"uri": names})
    assert {entry["uri"][-3:] for entry in sample([table], by_name=True)} == {"jpg"}
    assert {entry["uri"][-3:] for entry in sample([table], by_name=False)} == {"jpg", "xmp"}


def test_of_many_shards_a_few_are_read() -> None:
    assert some(range(5)) == range(5)
    assert len(some(range(10_000))) <= face_mode._MAX_SHARDS
    assert some(range(10_000))[-1] > 9000


def test_a_picture_that_kills_its_decoder_does_not_stop_the_choice(
    chips: Path, untrained: Bundle, tmp_path: Path
) -> None:
    from tests.robustness.deadly import DECODER, poisoned

    folder = tmp_path / "in"
    shutil.copytree(chips, folder)
    (folder / "deadly.jpg").write_bytes(poisoned((chips / "00.jpg").read_bytes(), "segv"))
    job = scoring_job(_options(folder, tmp_path / "out", decoder=DECODER), untrained)
    choice = choose(job, job.job.source.parts())
    assert choice.because == "20 of 20 sampled images are each one aligned face"
