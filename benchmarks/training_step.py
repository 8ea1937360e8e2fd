"""A training step, batch norm in one kernel or not: `python -m benchmarks.training_step`.

Every contender is a process of its own, they take turns (A B B A) and the medians count. Noise in
place of pictures: a step does not depend on what is in them. Writes
docs/benchmarks/training-step.md.
"""

import argparse
import datetime
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from model.runtime import machine

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks" / "training-step.md"
NAMES = {"fused": "**`FusedBatchNorm`**", "keras": "keras's `BatchNormalization`"}
SIDES = (64, 80, 96)  # what facemill-muon trains at, one after the other
STEPS = 12


def measured(preset_name: str, norm: str) -> list[float]:
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
        for _ in range(4):
            replica.train_step(batch, side)
        times = list[float]()
        for _ in range(STEPS):
            before = time.perf_counter()
            np.asarray(replica.train_step(batch, side))
            times.append((time.perf_counter() - before) * 1e3)
        found.append(statistics.median(times))
    return found


def main(argv: list[str] | None = None) -> int:
    """Let the contenders take turns and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="facemill-muon")
    parser.add_argument("--turns", type=int, default=2, help="pairs of turns")
    parser.add_argument("--contender", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.contender:
        print(*measured(options.preset, options.contender))
        return 0
    turns: dict[str, list[list[float]]] = {name: [] for name in NAMES}
    for turn in range(2 * options.turns):
        name = list(NAMES)[(turn + 1) // 2 % 2]
        print(f"turn {turn + 1} of {2 * options.turns}: {name}", file=sys.stderr)
        command = [sys.executable, "-m", "benchmarks.training_step", "--contender", name]
        done = subprocess.run(
            [*command, "--preset", options.preset], cwd=ROOT, check=True, capture_output=True,
            text=True,
        )  # fmt: skip
        turns[name].append([float(value) for value in done.stdout.split()])
    DOCUMENT.write_text(document(options, turns))
    print(DOCUMENT)
    return 0


def document(options: argparse.Namespace, turns: dict[str, list[list[float]]]) -> str:
    """The table in Markdown."""
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in turns.items()
    }
    lines = [
        "# A training step",
        "",
        f"`python -m benchmarks.training_step --preset {options.preset} --turns {options.turns}`:",
        "one step on a batch of the preset's size, bfloat16, one worker; milliseconds, medians "
        "over the turns of each.",
        "",
        f"{datetime.date.today()}, {machine()}",
        "",
        "| batch norm | " + " | ".join(f"{side}x{side}" for side in SIDES) + " |",
        "|---" + "|---:" * len(SIDES) + "|",
        *(
            f"| {NAMES[name]} | " + " | ".join(f"{value:.0f}" for value in values) + " |"
            for name, values in medians.items()
        ),
        "| ratio | "
        + " | ".join(
            f"{keras / fused:.2f}"
            for keras, fused in zip(medians["keras"], medians["fused"], strict=True)
        )
        + " |",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
