"""Small training groups, a process a worker: `python -m tests.equality_group FOLDER`.

What pipelines/training/worker.py does, less Ray, checkpoints and restarts: some steps of every
case, whose weights it leaves as FOLDER/{case}-{workers}-{rank}.npz.
"""

import dataclasses
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from model.bundle import read_bundle, write_bundle
from model.heads import AGE, GENDER
from model.preprocessing import InputSpec
from model.recipes import Augmentation, Optimizer, PlainStack, Recipe, Residual
from tests.s3_server import free_ports

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
# Batch norm, clip, averaged weights, every augmentation and small pictures first, all at once.
FULL = dataclasses.replace(
    PLAIN,
    network=Residual(4, (8,), (1,), dropout=0.2),
    optimizer=dataclasses.replace(SGD, clip_norm=0.1, ema=0.9, warmup_share=0.5, schedule="cosine"),
    augmentation=Augmentation(
        mirror=True, rotate_degrees=10, scale=0.1, shift=0.1, stretch=0.1, brightness=0.2,
        contrast=0.2, color=0.2, grey=0.2, erase=0.5, blur=1.0, shrink=0.5, noise=0.05,
    ),
    epochs=STEPS * BATCH // IMAGES,
    sides=((0.5, 8),),
)  # fmt: skip
# Muon makes much of a pixel that is rounded the other way, so it goes without the strengths that
# make some at this size: with them its weights differ by 2.03 of the tolerance, without by 0.96.
MUON = dataclasses.replace(
    FULL,
    optimizer=Optimizer("muon", 1e-3, weight_decay=0.05, ema=0.9),
    augmentation=dataclasses.replace(FULL.augmentation, blur=0.0, shrink=0.0, noise=0.0),
)
# Scaled by 2^15 this overflows float16: the first steps must be given up, on all ranks together.
HOT = dataclasses.replace(PLAIN, heads=(GENDER, dataclasses.replace(AGE, weight=100.0)))
# All that a checkpoint must hold: moving means, momentum, schedule, averaged weights, loss scale.
HALF = dataclasses.replace(FULL, heads=HOT.heads)
CASES: dict[str, tuple[Recipe, dict[str, Any]]] = {
    "plain": (PLAIN, {}),
    "full": (FULL, {"accumulate": 2}),
    "accumulated": (PLAIN, {"accumulate": 4}),
    "muon": (MUON, {}),
    "float16": (HOT, {"precision": "float16"}),
    "taught": (PLAIN, {"teachers": ["teacher"]}),
    "half": (HALF, {"precision": "float16"}),
    "half-resumed": (HALF, {"precision": "float16", "resumes": True}),
}
# Each case is traced anew in each process: only what a group of that size must show.
GROUPS = {
    1: ("plain", "full", "muon", "accumulated", "taught", "half", "half-resumed"),
    2: ("plain", "full", "muon", "float16", "taught"),
    4: ("plain", "full"),
}


def make_split(folder: Path) -> None:
    """Write the images and labels that all groups train on, and a network to imitate."""
    from model.networks import build_network

    network = build_network(PLAIN.network, PLAIN.input.shape, PLAIN.heads)
    write_bundle(
        folder / "teacher", network, name="teacher", input_spec=PLAIN.input, heads=PLAIN.heads,
        details={},
    )  # fmt: skip
    rng = np.random.default_rng(0)
    age = rng.uniform(0, 90, (IMAGES, 1)).astype(np.float32)
    np.save(folder / "pixels.npy", rng.integers(0, 256, (IMAGES, 16, 16, 3), dtype=np.uint8))
    np.savez(
        folder / "labels.npz",
        gender=(age > 40).astype(np.float32),
        age=age,
        weights=rng.uniform(0.5, 1.5, IMAGES).astype(np.float32),
    )


def train_some_steps(folder: Path, rank: int, workers: int) -> None:
    """Train every case of a group of this size."""
    from model.runtime import import_tensorflow

    tf = import_tensorflow(threads=1)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    from pipelines.images.pixel_cache import PixelFile
    from pipelines.training import checkpoints
    from pipelines.training.feeding import Feed, Split
    from pipelines.training.replica import Replica

    path = folder / "pixels.npy"
    with np.load(folder / "labels.npz") as labels:
        targets = {name: labels[name] for name in ("gender", "age")}
        weights = labels["weights"]
    file = PixelFile(str(path), path.stat().st_size, "")
    feed = Feed(Split(file, np.arange(IMAGES), targets, weights))
    # Three images: of four workers one has none, of two they do not divide.
    few = {label: values[:3] for label, values in targets.items()}
    val = Feed(Split(file, np.arange(3), few, weights[:3]))
    for name in GROUPS[workers]:
        recipe, extra = CASES[name]
        teachers = [read_bundle(folder / name) for name in extra.get("teachers", ())]
        extra = {**extra, "teachers": teachers}
        resumes = extra.pop("resumes", False)
        replica = Replica(recipe, strategy, rank, workers, steps=STEPS, seed=3, **extra)
        sums: Any = 0.0
        for epoch in range(STEPS * BATCH // IMAGES):
            for batch in feed.epoch(3, epoch, BATCH, replica.places):
                sums = sums + replica.train_step(batch, recipe.side_at(epoch))
            if resumes:  # in another group, as if this one had died here
                checkpoint = folder / f"checkpoint-{epoch}"
                checkpoint.mkdir()
                checkpoints.save(checkpoint, checkpoints.TrainState(), replica.arrays())
                replica = Replica(recipe, strategy, rank, workers, steps=STEPS, seed=4, **extra)
                names = replica.arrays()
                replica.restore({n: checkpoints.load_arrays(checkpoint, n) for n in names})
        arrays = replica.arrays()
        values = [*arrays["state"], *arrays["averaged"], replica.merged(np.asarray(sums))]
        values.append(replica.merged(replica.validate(val, [0.0])))
        values += [np.array(arrays["scaling"])] if arrays["scaling"] else []
        assert not replica.weights_differ()
        named: dict[str, Any] = {f"{i:03d}": value for i, value in enumerate(values)}
        np.savez(folder / f"{name}-{workers}-{rank}.npz", **named)


def main() -> None:
    """Train every group, one after the other; the ranks are forked, so TensorFlow loads once."""
    folder = Path(sys.argv[1])
    import_all()
    for workers in GROUPS:
        addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
        ranks = [_forked(folder, rank, addresses) for rank in range(workers)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in ranks]
        if any(codes):
            sys.exit(f"the group of {workers} ended with {codes}")


def import_all() -> None:
    """Load the libraries, without running an operation: that would start threads."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
    import keras
    import tensorflow  # noqa: F401

    import pipelines.training.replica  # noqa: F401

    assert keras.backend.backend() == "tensorflow"


def _forked(folder: Path, rank: int, addresses: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(270)  # a rank that waits for a dead one must not outlive the test
    task = {"type": "worker", "index": rank}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    try:
        train_some_steps(folder, rank, len(addresses))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
