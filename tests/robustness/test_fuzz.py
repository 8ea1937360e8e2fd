"""Hostile bytes end in an error of our own, whoever reads them; more by fuzz.py."""

import json
import subprocess
import sys

import pytest

from tests.robustness.fuzz_targets import TARGETS
from tests.robustness.fuzzing import mutated


def test_a_seed_gives_the_same_mutation() -> None:
    seeds = [b"abc" * 50, b"0123456789"]
    assert [mutated(seeds, 7)] * 2 == [mutated(seeds, 7) for _ in range(2)]
    assert len({mutated(seeds, seed) for seed in range(50)}) > 40


@pytest.mark.timeout(600)
def test_2000_cases_over_all_targets_find_nothing() -> None:
    # A process of its own: it forks, and must have no threads.
    command = [sys.executable, "-m", "tests.robustness.fuzz", "--cases", "2000", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["target"] for line in told] == [target.name for target in TARGETS]
    assert sum(line["cases"] for line in told) >= 1990
    assert [finding for line in told for finding in line["found"]] == []
