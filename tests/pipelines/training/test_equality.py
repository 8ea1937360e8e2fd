"""Any number of workers trains the same network: groups of 1, 2 and 4 processes, tiny networks."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.training.feeding import places_of
from tests.equality_group import GROUPS, STEPS, make_split


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, quiet_environment: None) -> Path:
    """Weights of every case and rank; without Ray, which has no part in what a step computes."""
    folder = tmp_path_factory.mktemp("equality")
    make_split(folder)
    command = [sys.executable, "-W", "ignore", "-m", "tests.equality_group", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def _arrays(folder: Path, name: str, workers: int, rank: int = 0) -> list[np.ndarray[Any, Any]]:
    with np.load(folder / f"{name}-{workers}-{rank}.npz") as found:
        return [found[key] for key in sorted(found.files)]


@pytest.mark.parametrize("workers", [2, 4])
def test_all_ranks_hold_the_same_bits(trained: Path, workers: int) -> None:
    for name in GROUPS[workers]:
        first = _arrays(trained, name, workers)
        for rank in range(1, workers):
            other = _arrays(trained, name, workers, rank)
            assert all(np.array_equal(a, b) for a, b in zip(first, other, strict=True)), name


@pytest.mark.parametrize(
    ("name", "workers"),
    [("plain", 2), ("full", 2), ("muon", 2), ("taught", 2), ("plain", 4), ("full", 4)],
)
def test_the_number_of_workers_changes_float_noise_only(
    trained: Path, name: str, workers: int
) -> None:
    for one, many in zip(_arrays(trained, name, 1), _arrays(trained, name, workers), strict=True):
        np.testing.assert_allclose(many, one, rtol=1e-4, atol=2e-5)


def test_a_teacher_changes_what_is_learnt(trained: Path) -> None:
    both = zip(_arrays(trained, "plain", 1), _arrays(trained, "taught", 1), strict=True)
    assert not all(np.allclose(alone, taught, atol=1e-4) for alone, taught in both)


def test_accumulating_micro_batches_is_one_large_batch(trained: Path) -> None:
    both = zip(_arrays(trained, "plain", 1), _arrays(trained, "accumulated", 1), strict=True)
    for whole, parts in both:
        np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=2e-5)


def test_float16_gives_up_steps_that_overflow_and_trains_on(trained: Path) -> None:
    *arrays, (scale, _, given_up) = _arrays(trained, "float16", 2)
    assert 0 < given_up < STEPS
    assert scale == 2.0**15 / 2**given_up
    assert all(np.isfinite(array).all() for array in arrays)


def test_what_a_checkpoint_holds_is_all_that_training_goes_on_from(trained: Path) -> None:
    whole, resumed = (_arrays(trained, name, 1) for name in ("half", "half-resumed"))
    assert 0 < whole[-1][2] < STEPS  # of which some in the part before, so the scale has moved
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))
    assert all(np.isfinite(array).all() for array in whole)


def test_every_image_of_a_batch_has_one_place_whatever_the_group() -> None:
    for workers in (1, 2, 3, 5):
        for micro_batches in (1, 3):
            parts = [places_of(24, rank, workers, micro_batches) for rank in range(workers)]
            assert sorted(np.concatenate(parts)) == list(range(24))
    assert places_of(8, 1, 2, 2).tolist() == [2, 3, 6, 7]
