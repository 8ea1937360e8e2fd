"""Hostile bytes end in an error of our own, whoever reads them; more in benchmarks/fuzz.py."""

from pathlib import Path

import pytest

from model.bundle import Bundle, read_bundle, with_details
from tests.fuzz_targets import GOLDEN, TARGETS
from tests.fuzzing import mutated


def small_bundle(folder: Path) -> Bundle:
    """A sealed one."""
    return with_details(read_bundle(GOLDEN / "train" / "bundle"), folder, {})


def test_a_seed_gives_the_same_mutation() -> None:
    seeds = [b"abc" * 50, b"0123456789"]
    assert [mutated(seeds, 7)] * 2 == [mutated(seeds, 7) for _ in range(2)]
    assert len({mutated(seeds, seed) for seed in range(50)}) > 40


@pytest.mark.timeout(600)
def test_2000_cases_over_all_targets_find_nothing() -> None:
    import json
    import subprocess
    import sys

    # A process of its own: it forks, and must have no threads.
    command = [sys.executable, "-m", "tests.fuzzing", "all", "2000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["target"] for line in told] == [target.name for target in TARGETS]
    assert sum(line["cases"] for line in told) >= 1990
    assert [finding for line in told for finding in line["found"]] == []
