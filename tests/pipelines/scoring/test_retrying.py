"""What failed is scored again in the same output, and whoever dies meanwhile loses no row."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from model.bundle import Bundle
from pipelines.predictions import frozen_inputs, layout, schemas
from pipelines.predictions.verification import verify
from pipelines.scoring import retrying
from pipelines.scoring.claim import resolve
from pipelines.scoring.dry_run import plan
from pipelines.scoring.run import score
from pipelines.storage import tables, writes
from tests.runs import finished_run, score_options, scoring_job


def _folder(folder: Path, faces_dir: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{i}.jpg" for i in range(8)]
    for path, face in zip(paths, sorted(faces_dir.glob("*.jpg")), strict=False):
        shutil.copy(face, path)
    return paths


def test_what_failed_is_scored_again_and_nothing_else_is_touched(
    faces_dir: Path, untrained: Bundle, tmp_path: Path, ray_session: None
) -> None:
    paths = _folder(tmp_path / "faces", faces_dir)
    whole = paths[5].read_bytes()
    paths[5].write_bytes(b"a store that was ill")
    (tmp_path / "faces" / "notes.txt").write_text("no failure")
    images, output = (str(tmp_path / "faces"),), str(tmp_path / "out")
    options = score_options(images=images, output=output, shard_rows=2)
    assert score(options, untrained).record["quarantined"] == 2
    before = {p.name: p.stat().st_mtime_ns for p in Path(output, "predictions").iterdir()}

    paths[5].write_bytes(whole)
    retry = score_options(images=images, output=output, shard_rows=2, on_existing="retry")
    planned = plan(resolve(retry, untrained, scoring_job(retry, untrained).source))
    assert (planned.pending_shards, planned.pending_inputs) == (1, 2)
    assert planned.state == "a retry of 1 failed inputs"
    result = score(retry, untrained)
    assert (result.record["scored"], result.record["quarantined"]) == (8, 1)
    assert verify(output).problems == ()
    after = {p.name: p.stat().st_mtime_ns for p in Path(output, "predictions").iterdir()}
    assert [name for name in before if after[name] != before[name]] == ["shard-00002.parquet"]
    assert not Path(output, layout.RETRYING).exists()
    assert score(retry, untrained).skipped == 9  # nothing has failed any more
    uris = schemas.read_predictions(output)["uri"].to_pylist()
    assert sorted(uris) == sorted(map(str, paths))


@pytest.fixture
def output(tmp_path: Path, untrained: Bundle) -> str:
    """A finished run of ten inputs in shards of 4, 4 and 2, in each of which the first failed."""
    finished_run(str(tmp_path / "out"), untrained, [f"/faces/{i}.jpg" for i in range(10)])
    return str(tmp_path / "out")


def test_pictures_without_a_face_are_retried_only_if_asked(output: str) -> None:
    rows = [
        {"uri": "/faces/4.jpg", "stage": "detect", "error": "no_face"},
        {"uri": "/faces/notes.txt", "stage": "list", "error": "not_an_image_name"},
    ]
    uri = layout.shard(output, layout.QUARANTINE, 1)
    tables.write_table(uri, pa.Table.from_pylist(rows, schema=schemas.QUARANTINE_SCHEMA))
    assert retrying.failed_inputs(output, no_face=False) == {0: 1, 2: 1}
    assert retrying.failed_inputs(output, no_face=True) == {0: 1, 1: 1, 2: 1}


def test_a_retry_that_died_at_any_write_is_gone_on_with(output: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(output, whole)
    seen = list[tuple[str, str]]()
    with writes.watched(lambda moment, operation, uri: seen.append((moment, uri))):
        retrying.put_back(output, no_face=False)
    assert frozen_inputs.committed(output) == set()
    assert len(seen) > 12
    for fatal in range(len(seen)):
        shutil.rmtree(output)
        shutil.copytree(whole, output)
        left = iter(range(fatal + 1))

        def dies(*_: object, left: object = left) -> None:
            if next(left, None) is None:  # type: ignore[call-overload]
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), writes.watched(dies):
            retrying.put_back(output, no_face=False)
            raise KeyboardInterrupt
        _continued(output)


def _continued(output: str) -> None:
    begun = Path(output, layout.RETRYING).exists()
    if retrying.is_unfinished(output):
        retrying.put_back(output, no_face=False)  # as the same command without the option does
    finished = Path(output, layout.RUN).exists()
    assert frozen_inputs.committed(output) == (set() if begun else {0, 1, 2})
    assert finished != begun
    if begun:
        Path(output, layout.PREDICTIONS, "shard-00000.parquet").touch()  # one was scored again
        retrying.put_back(output, no_face=False)  # the option again: the same retry goes on
        assert frozen_inputs.committed(output) == {0}
