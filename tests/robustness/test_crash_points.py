"""Whoever dies or fails at whichever write: the same command again leaves the undisturbed result.

All of it: `python -m tests.robustness.crash_points --write`.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARES = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2  # another worker has the other core


def run(*arguments: str, shares: int = 1) -> Iterator[str]:
    """What it prints; in processes of its own, as one that forks has no threads."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.robustness.crash_points",
             "--share", str(share), str(shares), *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for share in range(shares)
    ]  # fmt: skip
    with ThreadPoolExecutor(shares) as pool:  # each is read while it writes
        said = list(pool.map(subprocess.Popen[str].communicate, processes))
    for process, (out, error) in zip(processes, said, strict=True):
        assert process.returncode == 0, (out[-4000:], error[-2000:])
        yield from out.splitlines()


def stopped(*arguments: str, shares: int = 1) -> Counter[str]:
    """How many cases each job has passed."""
    passed: Counter[str] = Counter()
    for line in run(*arguments, shares=shares):
        tally = json.loads(line)
        passed[tally["job"]] += tally["cases"]
    return passed


def test_a_sample_of_jobs_is_continued_to_the_very_same_files() -> None:
    only = "refreshed,mirror,calibrate,train,card"
    passed = stopped("--store", "local", "--every", "41", "--only", only)
    assert len(passed) == 5 and all(passed.values())


def test_a_reader_sees_no_torn_file_no_doubled_key_and_no_vanished_row() -> None:
    list(run("--readers", "--every", "1000", "--only", "score --partition-by none"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_job_is_stopped_at_every_write_in_every_way_on_a_local_folder() -> None:
    passed = stopped("--store", "local", "--pairs", "5", "--shard-rows", "9", shares=SHARES)
    assert passed.total() > 1200


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_job_is_stopped_over_a_store_that_fails_and_loses_answers() -> None:
    passed = stopped("--store", "s3", "--every", "4", "--shard-rows", "9", shares=SHARES)
    assert all(passed.values())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_reader_looks_at_every_instant_of_every_scoring_job_also_after_deaths() -> None:
    list(run("--readers", "--every", "5", "--shard-rows", "9", shares=SHARES))
