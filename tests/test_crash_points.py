"""Whoever dies or fails at whichever write: the same command again leaves the undisturbed result.

All of it: `python -m benchmarks.crash_points`, docs/benchmarks/crash-points.md.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def stopped(*arguments: str) -> list[dict[str, object]]:
    """What came of it, job by job; in a process of its own, as one that forks has no threads."""
    command = [sys.executable, "-m", "tests.crash_points", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, [*(tally["problems"] for tally in told), done.stderr[-2000:]]
    return told


def test_a_sample_of_jobs_is_continued_to_the_very_same_files() -> None:
    only = "refreshed,--drop-deleted,calibrate,train,card"
    told = stopped("--store", "local", "--every", "41", "--only", only)
    assert len({tally["job"] for tally in told}) == 5
    assert all(tally["cases"] for tally in told)


def test_a_reader_sees_no_torn_file_no_doubled_key_and_no_vanished_row() -> None:
    command = [sys.executable, "-m", "tests.crash_points", "--readers", "--every", "1000"]
    only = ("--only", "score --compact")
    done = subprocess.run([*command, *only], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_job_is_stopped_at_every_write_in_every_way_on_a_local_folder() -> None:
    told = stopped("--store", "local", "--pairs", "5", "--shard-rows", "9")
    assert sum(int(str(tally["cases"])) for tally in told) > 1200


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_job_is_stopped_over_a_store_that_fails_and_loses_answers() -> None:
    told = stopped("--store", "s3", "--every", "7", "--shard-rows", "9")
    assert all(tally["cases"] for tally in told)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_reader_looks_at_every_instant_of_every_scoring_job_also_after_deaths() -> None:
    command = [sys.executable, "-m", "tests.crash_points", "--readers", "--every", "5"]
    command += ["--shard-rows", "9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
