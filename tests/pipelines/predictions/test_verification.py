"""The proof fails for every way in which a run can be less than whole, and says which."""

import json
from pathlib import Path

import pytest

from jobs import verify as job
from model.bundle import Bundle
from pipelines.predictions import verification
from pipelines.predictions.verification import verify
from tests.bundles import untrained_bundle
from tests.runs import finished_run, write_shard

URIS = [f"/faces/{i}.jpg" for i in range(10)]


@pytest.fixture
def output(tmp_path: Path, untrained: Bundle) -> str:
    """A finished run of 10 inputs in shards of 4, 4 and 2, one of each in quarantine."""
    finished_run(str(tmp_path / "out"), untrained, URIS)
    return str(tmp_path / "out")


def test_a_whole_run_is_proven(
    output: str, untrained: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    found = verify(output)
    assert found == verification.Verified(10, 7, 3, 6, untrained.id, (), 7)
    job.main(["--output", output])
    assert "inputs  10 = 7 scored + 3 quarantined" in capsys.readouterr().out


def test_an_unfinished_run_is_said_to_be_unfinished(output: str) -> None:
    Path(output, "run.json").unlink()
    assert verify(output).problems == (
        "there is no run.json: the run is not finished; run its command again to continue",
    )


def test_a_flipped_byte_is_found(output: str) -> None:
    path = Path(output, "predictions", "shard-00001.parquet")
    data = bytearray(path.read_bytes())
    data[-20] ^= 1  # in the footer's metadata: still Parquet
    path.write_bytes(data)
    problems = " ".join(verify(output).problems)
    assert "predictions/shard-00001.parquet" in problems
    assert "SHA-256" in problems or "cannot be read" in problems


def test_a_missing_and_a_strange_file_are_found(output: str) -> None:
    Path(output, "quarantine", "shard-00002.parquet").rename(
        Path(output, "quarantine", "shard-00009.parquet")
    )
    problems = verify(output).problems
    assert "quarantine/shard-00002.parquet is missing" in problems
    assert "quarantine/shard-00009.parquet is not named in run.json" in problems
    assert "shard-00002.parquet: 1 inputs have no row, e.g. '/faces/8.jpg'" in problems
    assert "run.json says 3 quarantined, found 2" in problems


def _rewrite(output: str, bundle: Bundle, good: list[str], bad: list[str]) -> tuple[str, ...]:
    """Replace shard 0 by other rows, as if they had been committed."""
    write_shard(output, bundle, 0, good, bad)
    return tuple(text for text in verify(output).problems if "SHA-256" not in text)


def test_a_row_in_both_tables_and_a_lost_row_are_found(output: str, untrained: Bundle) -> None:
    assert _rewrite(output, untrained, [*URIS[0:2], URIS[3]], [URIS[0]]) == (
        "shard-00000.parquet: 1 inputs have no row, e.g. '/faces/2.jpg'; "
        "1 inputs have a row too many, e.g. '/faces/0.jpg'",
        "1 uris have more than one row, e.g. '/faces/0.jpg'",
    )


def test_a_row_of_another_shard_is_found(output: str, untrained: Bundle) -> None:
    problems = _rewrite(output, untrained, [*URIS[1:3], URIS[9]], URIS[:1])
    assert "1 uris have more than one row, e.g. '/faces/9.jpg'" in problems


def test_a_row_of_another_bundle_is_found(output: str, tmp_path: Path) -> None:
    other = untrained_bundle(tmp_path / "other", seed=1)
    assert _rewrite(output, other, URIS[1:4], URIS[:1]) == (
        f"predictions/shard-00000.parquet holds rows of bundle {other.id}",
    )


def test_an_input_listed_twice_is_found(tmp_path: Path, untrained: Bundle) -> None:
    finished_run(str(tmp_path / "out"), untrained, [*URIS, URIS[1]])
    assert verify(str(tmp_path / "out")).problems == (
        "1 uris have more than one row, e.g. '/faces/1.jpg'",
    )


def test_changed_records_are_found_and_the_job_fails(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = json.loads(Path(output, "run.json").read_text())
    Path(output, "run.json").write_text(json.dumps(run | {"scored": 8}))
    Path(output, "job.json").write_text(json.dumps({"bundle_id": "other"}))
    with pytest.raises(SystemExit) as end:
        job.main(["--output", output])
    assert end.value.code == 1
    shown = capsys.readouterr()
    assert f"- job.json names bundle other, run.json names {run['bundle_id']}\n" in shown.out
    assert "- run.json says 8 scored, found 7\n" in shown.out
    assert shown.err.endswith(f"failed: {output} is not whole: 2 problems, listed above\n")


def test_a_job_json_that_is_gone_and_a_bundle_s_record_that_is_cut_are_found(output: str) -> None:
    Path(output, "job.json").unlink()
    record = Path(output, "bundle", "bundle.json")
    record.write_text(record.read_text()[:100])
    assert {"job.json is missing or damaged", "bundle/bundle.json is missing or damaged"} <= set(
        verify(output).problems
    )
