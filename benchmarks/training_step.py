"""A training step, batch norm in one kernel or not: `python -m benchmarks.training_step`.

Each contender is a process of its own, they take turns (A B A B) and the medians count. Noise in
place of images: a step does not depend on what they show. Writes docs/benchmarks/training-step.md.
"""

import functools
import json
import statistics
from typing import Any

from benchmarks import harness

NAMES = {"fused": "**`FusedBatchNorm`**", "keras": "keras's `BatchNormalization`"}
SIDES = (64, 80, 96)  # what facemill-muon trains at, one after the other
SMALL, FULL = (3, 1), (12, 4)  # steps of each side, turns


def measure(preset_name: str, norm: str, steps: int) -> list[float]:
    """Milliseconds of a step at each of SIDES."""
    import keras
    import numpy as np
    import tensorflow as tf

    from model import layers
    from model.augmentation import draw
    from model.presets import preset
    from pipelines.training.feeding import Batch
    from pipelines.training.replica import Replica

    if norm == "keras":
        contender: Any = layers
        contender.FusedBatchNorm.call = keras.layers.BatchNormalization.call
    recipe: Any = preset(preset_name)
    rng = np.random.default_rng(0)
    count = recipe.global_batch_size
    replica = Replica(recipe, tf.distribute.get_strategy(), 0, 1, steps=1_000, precision="bfloat16")
    batch = Batch(
        rng.integers(0, 256, (count, *recipe.input.shape), np.uint8),
        draw(0, 0, count),
        {head.name: np.ones((count, 1), np.float32) for head in recipe.heads},
        np.ones(count, np.float32),
        {},
    )
    found = list[float]()
    for side in SIDES:
        for _ in range(2):  # compiles
            replica.train_step(batch, side)
        times = [
            harness.seconds(lambda side=side: np.asarray(replica.train_step(batch, side)))
            for _ in range(steps)
        ]
        found.append(1e3 * statistics.median(times))
    return found


def main() -> None:
    """Let the contenders take turns and write the table."""
    parser = harness.arguments(__doc__, "benchmarks/training-step.md")
    parser.add_argument("--preset", default="facemill-muon")
    parser.add_argument("--contender", choices=NAMES, help="run this one here, once")
    given = harness.parsed(parser)
    steps, rounds = FULL if given.full else SMALL
    if given.contender:
        print(json.dumps({"ms": measure(given.preset, given.contender, steps)}))
        return
    words = ["--preset", given.preset, *(["--full"] if given.full else [])]
    runs = harness.turns(
        {
            name: functools.partial(
                harness.apart, "benchmarks.training_step", *words, "--contender", name
            )
            for name in NAMES
        },
        rounds,
    )
    ms = {
        name: [
            statistics.median(column) for column in zip(*(one["ms"] for one in taken), strict=True)
        ]
        for name, taken in runs.items()
    }
    ratios = [keras / fused for fused, keras in zip(ms["fused"], ms["keras"], strict=True)]
    rows = [
        *((NAMES[name], *(f"{value:.0f}" for value in values)) for name, values in ms.items()),
        ("ratio", *(f"{ratio:.2f}" for ratio in ratios)),
    ]
    harness.write(given, [
        "One step on a batch of the preset's size, bfloat16, one worker; milliseconds, medians "
        "over the turns of each.", "",
        *harness.table(["batch norm", *(f"{side}x{side}:" for side in SIDES)], rows),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
