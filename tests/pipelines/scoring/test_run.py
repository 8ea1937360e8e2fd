"""Scoring: every input is one row, whatever is wrong with it and whoever dies."""

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from demo.drawn_faces import draw_faces
from model.bundle import Bundle
from model.errors import FacemillError, ManifestError, UsageError
from pipelines.configuration import changed
from pipelines.manifests import manifest
from pipelines.manifests.ingest import ingest
from pipelines.manifests.options import IngestOptions
from pipelines.predictions import schemas
from pipelines.predictions.verification import verify
from pipelines.scoring import rows, run
from pipelines.scoring.options import ScoreOptions
from pipelines.scoring.printing import predicted_lines
from pipelines.storage import tables
from pipelines.storage.lease import Lease
from tests.bundles import untrained_bundle
from tests.runs import score, score_options
from tests.s3_server import S3Server


@pytest.fixture(scope="module")
def mixed_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 good faces, 6 broken ones and a text file."""
    folder = tmp_path_factory.mktemp("mixed")
    draw_faces(folder, 40, seed=1, broken=6)
    (folder / "notes.txt").write_text("not an image")
    return folder


def _rows(output: Path | str) -> pd.DataFrame:
    return schemas.read_predictions(str(output)).to_pandas().sort_values("uri", ignore_index=True)


def test_every_input_is_exactly_one_row(
    mixed_dir: Path, untrained: Bundle, tmp_path: Path, ray_session: None
) -> None:
    result = score(
        score_options(images=(str(mixed_dir),), output=str(tmp_path), shard_rows=10, workers=1),
        untrained,
    )
    good = schemas.read_predictions(str(tmp_path)).to_pandas()
    bad = schemas.read_quarantine(str(tmp_path)).to_pandas()
    assert sorted([*good["uri"], *bad["uri"]]) == sorted(map(str, mixed_dir.iterdir()))
    assert (result.record["scored"], result.record["quarantined"]) == (40, 7)
    assert set(bad["stage"]) == {"list", "decode"}
    assert bad.set_index("uri").loc[str(mixed_dir / "notes.txt"), "error"] == "not_an_image_name"
    assert (good["bundle_id"] == untrained.id).all()
    assert ((good["gender"] == "female") == (good["p_female"] >= 0.5)).all()
    assert (good["width"] == 200).all()
    schema = schemas.read_predictions(str(tmp_path)).schema
    assert schema.equals(schemas.PREDICTIONS_SCHEMA)


def test_a_finished_run_scores_nothing_again_and_another_bundle_is_refused(
    mixed_dir: Path, untrained: Bundle, tmp_path: Path, ray_session: None
) -> None:
    options = score_options(
        images=(str(mixed_dir),),
        output=str(tmp_path / "out"),
        shard_rows=10,
        workers=1,
    )
    first = score(options, untrained)
    again = score(options, untrained)
    assert again.skipped == 47
    assert again.record == first.record
    other = untrained_bundle(tmp_path / "other", seed=1)
    with pytest.raises(UsageError) as error:
        score(options, other)
    assert str(error.value) == (
        f"`output` {tmp_path / 'out'} holds another run (bundle_id was {untrained.id!r}, is "
        f"{other.id!r}): choose another `output`, or repeat the arguments of that run to resume "
        "it; `on_existing` new writes beside it"
    )


def test_resuming_scores_only_the_missing_shards(
    mixed_dir: Path, untrained: Bundle, tmp_path: Path, ray_session: None
) -> None:
    options = score_options(
        images=(str(mixed_dir),), output=str(tmp_path), shard_rows=10, workers=1
    )
    score(options, untrained)
    whole = _rows(tmp_path)
    kept = tmp_path / "predictions" / "shard-00000.parquet"
    before = kept.stat().st_mtime_ns
    (tmp_path / "predictions" / "shard-00002.parquet").unlink()
    (tmp_path / "run.json").unlink()
    resumed = score(options, untrained)
    assert resumed.skipped == 37
    assert kept.stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(_rows(tmp_path), whole)
    assert verify(str(tmp_path)).problems == ()


def test_a_run_that_is_clearly_wrong_stops_early_and_can_be_continued(
    untrained: Bundle, tmp_path: Path, ray_session: None
) -> None:

    folder, output = tmp_path / "wrong", tmp_path / "out"
    folder.mkdir()
    for number in range(run.QUARANTINE_SAMPLE + 100):
        (folder / f"{number}.jpg").write_text("no image")
    options = score_options(images=(str(folder),), output=str(output), max_quarantine="5%")
    with pytest.raises(FacemillError) as error:
        score(options, untrained)
    assert str(error.value).startswith(
        "100.0% of the first 500 inputs are in quarantine (most: decode: not_an_image), over "
        "`max_quarantine` 5.0%: are these the right images?"
    )
    assert not (output / "run.json").exists()
    assert not (output / "lease.json").exists()
    result = score(changed(options, max_quarantine=None), untrained)
    assert result.record["quarantined"] == 500


def test_two_drivers_on_one_output_are_one_too_many(
    mixed_dir: Path, untrained: Bundle, tmp_path: Path
) -> None:
    options = score_options(images=(str(mixed_dir),), output=str(tmp_path))
    with Lease(str(tmp_path)), pytest.raises(UsageError, match="is being written by process"):
        score(options, untrained)
    assert {path.name for path in tmp_path.iterdir()} == set()


def test_a_shard_with_missing_rows_is_not_taken_for_whole(
    mixed_dir: Path, untrained: Bundle, tmp_path: Path, ray_session: None
) -> None:
    options = score_options(
        images=(str(mixed_dir),), output=str(tmp_path), shard_rows=10, workers=1
    )
    score(options, untrained)
    shard = str(tmp_path / "predictions" / "shard-00001.parquet")
    tables.write_table(shard, tables.read_table(shard).slice(1))
    (tmp_path / "run.json").unlink()
    with pytest.raises(Exception, match=r"shard 1 has rows for 9 of 10 inputs: .*shard-00001"):
        score(options, untrained)


def test_single_pictures_are_lines_for_people(
    faces_dir: Path, untrained: Bundle, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"")
    face = next(iter(sorted(faces_dir.iterdir())))
    options = ScoreOptions(images=(str(face), str(broken)))
    good, bad = predicted_lines(options, untrained)
    assert good.startswith(face.name)
    assert good.endswith("years")
    assert "male (" in good
    assert bad == f"{'broken.jpg':<{len(face.name)}}  not scored: the file has no bytes"


def test_a_store_that_is_ill_never_becomes_bad_images(
    monkeypatch: pytest.MonkeyPatch, untrained: Bundle
) -> None:
    from model.predictor import Predictor

    def broken_read(*_: object) -> bytes:
        raise OSError("503 slow down")

    monkeypatch.setattr("pipelines.storage.fetching.get_object", broken_read)
    with pytest.raises(OSError, match="503"):
        rows.score_entries([{"uri": "s3://b/a.jpg"}], Predictor(untrained, batch_size=2))


@pytest.mark.timeout(240)
def test_scoring_a_bucket_equals_scoring_the_folder(
    s3: S3Server, bucket: str, untrained: Bundle, tmp_path: Path, ray_session: None
) -> None:
    from pipelines import storage

    local = tmp_path / "faces"
    draw_faces(local, 12, broken=2)
    odd = ["with space.jpg", "p%20ercent.jpg", "ünï+code#.jpg"]
    for name, face in zip(odd, sorted(local.iterdir()), strict=False):
        shutil.copy(face, local / name)
    for face in local.iterdir():
        storage.write_bytes(f"{bucket}/faces/{face.name}", face.read_bytes())
    score(
        score_options(
            images=(str(local),),
            output=str(tmp_path / "out"),
            shard_rows=5,
            workers=1,
        ),
        untrained,
    )
    remote = f"{bucket}/out"
    result = score(
        score_options(images=(f"{bucket}/faces",), output=remote, shard_rows=5, workers=1),
        untrained,
    )
    assert (result.record["scored"], result.record["quarantined"]) == (15, 2)
    here, there = _rows(tmp_path / "out"), _rows(remote)
    for frame in (here, there):
        frame["uri"] = frame["uri"].str.rsplit("/", n=1).str[-1]
    here, there = (f.sort_values("uri", ignore_index=True) for f in (here, there))
    pd.testing.assert_frame_equal(here, there)


def test_a_full_disk_is_one_sentence_and_no_lease_is_left(
    mixed_dir: Path, untrained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.storage.tables.write_table", full)
    with pytest.raises(
        FacemillError, match=r"No space left on device \(ENOSPC\).*; what is scored is safe: "
    ):
        score(score_options(images=(str(mixed_dir),), output=str(tmp_path)), untrained)
    assert not (tmp_path / "lease.json").exists()


def test_a_manifest_that_names_an_image_twice_is_refused(untrained: Bundle, tmp_path: Path) -> None:
    source = str(tmp_path / "list.parquet")
    tables.write_table(source, pa.table({"uri": ["/a.jpg", "/b.jpg", "/a.jpg"]}))
    with pytest.raises(ManifestError, match="names 1 of its 3 uris more than once"):
        score(score_options(manifest=source, output=str(tmp_path / "out")), untrained)


def test_a_manifest_can_be_scored(
    mixed_dir: Path, untrained: Bundle, tmp_path: Path, ray_session: None
) -> None:
    table = ingest(IngestOptions(str(mixed_dir), label_format="none")).table
    tables.write_table(str(tmp_path / "list.parquet"), table.select(["uri"]))
    source = str(tmp_path / "list.parquet")
    options = score_options(manifest=source, output=str(tmp_path / "out"), workers=1)
    result = score(options, untrained)
    assert result.record["inputs"] == table.num_rows == result.record["scored"] + 5
    assert manifest.fingerprint(table) == manifest.fingerprint(
        table.take(list(range(10, 45)) + list(range(10)))
    )
