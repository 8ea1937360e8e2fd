"""jobs.report and jobs.calibrate as a person starts them, on drawn faces."""

from pathlib import Path

import pyarrow.compute as pc
import pytest

from demo.drawn_faces import draw_faces
from model.bundle import Bundle, read_bundle
from pipelines.manifests.ingest import ingest, write_ingested
from pipelines.manifests.manifest import read_manifest
from pipelines.manifests.options import IngestOptions
from pipelines.storage import tables
from tests.jobs.conftest import RunJob
from tests.predictions import random_predictions, write_predictions
from tests.runs import score, score_options
from tests.scenes import scene


@pytest.mark.timeout(240)
def test_calibrate_score_and_report_on_drawn_faces(
    untrained: Bundle, tmp_path: Path, run_job: RunJob, ray_session: None
) -> None:
    draw_faces(tmp_path / "faces", 220, seed=3, broken=3)
    options = IngestOptions(str(tmp_path / "faces"))
    write_ingested(ingest(options), options, str(tmp_path / "manifest"))
    arguments = (
        "calibrate", "--bundle", untrained.folder, "--manifest", tmp_path / "manifest",
        "--output", tmp_path / "bundle",
    )  # fmt: skip
    refused = run_job(*arguments)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: the bundle was trained on manifest None, --manifest")
    made = run_job(*arguments, "--other-manifest")
    assert made.returncode == 0, made.stderr
    bundle = read_bundle(tmp_path / "bundle")
    few = read_manifest(str(tmp_path / "manifest"))
    train = few.filter(pc.equal(few["split"], "train"))
    tables.write_table(str(tmp_path / "no-val.parquet"), train)
    none = run_job(
        "calibrate", "--bundle", tmp_path / "bundle", "--manifest",
        tmp_path / "no-val.parquet", "--output", tmp_path / "none", "--other-manifest",
    )  # fmt: skip
    assert none.returncode == 2
    assert "has too few labelled val images to fit anything" in none.stderr
    assert not (tmp_path / "none" / "bundle.json").exists()
    assert bundle.id != untrained.id
    assert bundle.record["calibration"]["age"]["images"] > 30
    assert set(bundle.record["profile"]) == {"train", "val"}
    assert set(bundle.record["metrics"]) == {"val", "test"}  # measured as it is calibrated now

    score(score_options(images=(str(tmp_path / "faces"),), output=str(tmp_path / "out")), bundle)
    rows = tables.read_table(str(tmp_path / "out" / "predictions")).to_pandas()
    assert (rows["age_low_years"] <= rows["age_high_years"]).all()
    assert rows["age_group"].notna().all()
    assert rows["brightness"].between(1, 254).all()
    page = tmp_path / "report.html"
    done = run_job(
        "report", "--predictions", tmp_path / "out", "--labels", tmp_path / "manifest",
        "--output", page, "--json", tmp_path / "r.json", "--parquet", tmp_path / "r.parquet",
        "--show-faces",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "interval holds" in done.stdout
    text = page.read_text()
    assert 'src="data:image/jpeg;base64,' in text
    assert "the bundle&#39;s own train and val images" in text
    assert tables.read_json(str(tmp_path / "r.json"))["counts"]["quarantined"] == 3


@pytest.mark.timeout(240)
def test_score_and_report_on_pictures_of_several_faces(
    untrained: Bundle, tmp_path: Path, run_job: RunJob, ray_session: None
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    scene((0, 40, 40, 220)).save(photos / "one.jpg", quality=92)
    scene((1, 20, 60, 240), (2, 400, 120, 110)).save(photos / "main.jpg", quality=92)
    scene((3, 20, 60, 200), (4, 380, 100, 195)).save(photos / "alike.jpg", quality=92)
    scene().save(photos / "nobody.jpg")
    (photos / "notes.txt").write_text("no picture\n")
    output, page = str(tmp_path / "out"), tmp_path / "report.html"
    options = score_options(
        images=(str(photos),), output=output, faces="detect", min_face_score=0.5
    )
    score(options, untrained)
    labels = tmp_path / "labels.csv"
    pictures = ("one", "main", "alike", "nobody")
    labels.write_text("path,age,gender\n" + "".join(f"{n}.jpg,30,male\n" for n in pictures))
    done = run_job(
        "report", "--predictions", output, "--labels", labels, "--output", page,
        "--json", tmp_path / "r.json", "--show-faces",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = tables.read_json(str(tmp_path / "r.json"))
    counts = figures["counts"]
    told = [counts[name] for name in ("scored", "faces", "without_a_face", "other_files", "failed")]
    assert told == [3, 5, 1, 1, 0]
    assert figures["quality"]["labelled"] == 2
    assert sum(figures["quality"]["without_face"].values()) == 2  # of alike.jpg and nobody.jpg
    text = page.read_text()
    assert "Ages and genders of 5 faces in 3 images" in text
    assert "A few images with their faces" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--output", "{tmp}/r.html"], "error: --predictions is missing: give the --output of"),
        (["--predictions", "{tmp}/none"], "error: --predictions {tmp}/none does not exist"),
        (["--predictions", "{tmp}/run", "--labels", "{tmp}/no.csv", "--output", "{tmp}/r.html"],
         "error: --labels {tmp}/no.csv does not exist"),
        (["--data", "f.csv"], "error: --data f.csv: give a file that ends in .json or .parquet"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, run_job: RunJob
) -> None:
    write_predictions(tmp_path / "run", random_predictions(0, 10))
    result = run_job("report", *(text.format(tmp=tmp_path) for text in arguments))
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith(sentence.format(tmp=tmp_path))
    assert result.stderr.count("\n") == 1
