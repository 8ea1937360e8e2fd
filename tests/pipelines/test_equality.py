"""Any number of workers trains the same network: real groups of 1, 2 and 4, a tiny network."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import ray.train

from model.heads import AGE, GENDER
from model.preprocessing import InputSpec
from model.recipes import Augmentation, Optimizer, PlainStack, Recipe, Residual
from pipelines.feeding import Feed, Split, places_of
from pipelines.pixel_cache import PixelFile

IMAGES, BATCH, STEPS = 48, 16, 6
SGD = Optimizer("sgd", 0.01, momentum=0.9)
PLAIN = Recipe(
    name="plain",
    source="",
    input=InputSpec(16, 16, "rgb"),
    network=PlainStack((4, 8), branch_units=8, dropout=0.3),
    heads=(GENDER, dataclasses.replace(AGE, weight=0.05)),
    optimizer=SGD,
    global_batch_size=BATCH,
)
# Batch norm, clip, averaged weights and every augmentation at once.
FULL = dataclasses.replace(
    PLAIN,
    network=Residual(4, (4, 8), (1, 1), dropout=0.2),
    optimizer=dataclasses.replace(SGD, clip_norm=0.1, ema=0.9, warmup_share=0.5, schedule="cosine"),
    augmentation=Augmentation(
        mirror=True, rotate_degrees=10, scale=0.1, shift=0.1, stretch=0.1, brightness=0.2,
        contrast=0.2, color=0.2, grey=0.2, erase=0.5,
    ),
)  # fmt: skip
# Scaled by 2^15 this overflows float16: the first steps must be given up, on all ranks together.
HOT = dataclasses.replace(PLAIN, heads=(GENDER, dataclasses.replace(AGE, weight=100.0)))
CASES: dict[str, tuple[Recipe, dict[str, Any]]] = {
    "plain": (PLAIN, {}),
    "full": (FULL, {"accumulate": 2}),
    "accumulated": (PLAIN, {"accumulate": 4}),
    "float16": (HOT, {"precision": "float16"}),
}
# Each case is traced anew in each process: only what a group of that size must show.
GROUPS = {
    1: ("plain", "full", "accumulated"),
    2: ("plain", "full", "float16"),
    4: ("plain", "full"),
}


def _split(folder: Path) -> Split:
    rng = np.random.default_rng(0)
    path = folder / "pixels.npy"
    np.save(path, rng.integers(0, 256, (IMAGES, 16, 16, 3), dtype=np.uint8))
    age = rng.uniform(0, 90, (IMAGES, 1)).astype(np.float32)
    targets = {"gender": (age > 40).astype(np.float32), "age": age}
    weights = rng.uniform(0.5, 1.5, IMAGES).astype(np.float32)
    return Split(PixelFile(str(path), path.stat().st_size, ""), np.arange(IMAGES), targets, weights)


def _train_some_steps(loop_config: dict[str, Any]) -> None:
    """What train_worker does, less checkpoints and restarts: weights of every case and rank."""
    from model.runtime import import_tensorflow
    from pipelines.replica import Replica

    tf = import_tensorflow(threads=1)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    for name in GROUPS[workers]:
        recipe, extra = CASES[name]
        replica = Replica(recipe, strategy, rank, workers, steps=STEPS, seed=3, **extra)
        feed = Feed(loop_config["split"])
        sums: Any = 0.0
        for epoch in range(STEPS * BATCH // IMAGES):
            for batch in feed.epoch(3, epoch, BATCH, replica.places):
                sums = sums + replica.train_step(batch)
        arrays = replica.arrays()
        values = [*arrays["state"], *arrays["averaged"], replica.merged(np.asarray(sums))]
        values += [np.array(arrays["scaling"])] if arrays["scaling"] else []
        named: dict[str, Any] = {f"{i:03d}": value for i, value in enumerate(values)}
        np.savez(Path(loop_config["folder"]) / f"{name}-{workers}-{rank}.npz", **named)
        assert not replica.weights_differ()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    from ray.train.tensorflow import TensorflowTrainer

    folder = tmp_path_factory.mktemp("equality")
    split = _split(folder)
    for workers in GROUPS:
        TensorflowTrainer(
            _train_some_steps,
            train_loop_config={"split": split, "folder": str(folder)},
            scaling_config=ray.train.ScalingConfig(num_workers=workers),
            run_config=ray.train.RunConfig(name=f"run{workers}", storage_path=str(folder)),
        ).fit()
    return folder


def _arrays(folder: Path, name: str, workers: int, rank: int = 0) -> list[np.ndarray[Any, Any]]:
    with np.load(folder / f"{name}-{workers}-{rank}.npz") as found:
        return [found[key] for key in sorted(found.files)]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("workers", [2, 4])
def test_all_ranks_hold_the_same_bits(trained: Path, workers: int) -> None:
    for name in GROUPS[workers]:
        first = _arrays(trained, name, workers)
        for rank in range(1, workers):
            other = _arrays(trained, name, workers, rank)
            assert all(np.array_equal(a, b) for a, b in zip(first, other, strict=True)), name


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("name", ["plain", "full"])
def test_the_number_of_workers_changes_float_noise_only(
    trained: Path, name: str, workers: int
) -> None:
    for one, many in zip(_arrays(trained, name, 1), _arrays(trained, name, workers), strict=True):
        np.testing.assert_allclose(many, one, rtol=1e-4, atol=2e-5)


def test_accumulating_micro_batches_is_one_large_batch(trained: Path) -> None:
    both = zip(_arrays(trained, "plain", 1), _arrays(trained, "accumulated", 1), strict=True)
    for whole, parts in both:
        np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=2e-5)


def test_float16_gives_up_steps_that_overflow_and_trains_on(trained: Path) -> None:
    *arrays, (scale, _, given_up) = _arrays(trained, "float16", 2)
    assert 0 < given_up < STEPS
    assert scale == 2.0**15 / 2**given_up
    assert all(np.isfinite(array).all() for array in arrays)


def test_every_image_of_a_batch_has_one_place_whatever_the_group() -> None:
    for workers in (1, 2, 3, 5):
        for micro_batches in (1, 3):
            parts = [places_of(24, rank, workers, micro_batches) for rank in range(workers)]
            assert sorted(np.concatenate(parts)) == list(range(24))
    assert places_of(8, 1, 2, 2).tolist() == [2, 3, 6, 7]
