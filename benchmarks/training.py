"""Speed of training against a bare Keras `fit`: `python -m benchmarks.training`.

Same images, same network, same batch, same machine; each contender is a process of its own, they
take turns (A B A B) and the medians count. The rates are those of the epochs after the first, which
compiles. Writes docs/benchmarks/training.md; `--full` trains seed-final, else the demo's network.

    fit-1   keras: compile and fit on arrays in memory, no Ray, 1 thread
    ours-1  jobs.train, 1 worker on 1 core
    fit-2   as fit-1, 2 threads
    ours-2  jobs.train, 2 workers on 1 core each
"""

import functools
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import harness

NAMES = {
    "fit-1": "bare Keras `fit`, 1 thread",
    "ours-1": "**jobs.train, 1 worker on 1 core**",
    "fit-2": "bare Keras `fit`, 2 threads",
    "ours-2": "**jobs.train, 2 workers on 1 core each**",
    "ours-1-2": "**jobs.train, 1 worker on 2 cores**",
}
EPOCHS = 4
SMALL, FULL = (300, "demo", 1), (1000, "seed-final", 2)  # train images, preset, rounds
# What, contender, against, wanted.
TARGETS = (
    ("1 worker on 1 core / bare fit on 1 thread, >= 0.95", "ours-1", "fit-1", 0.95),
    ("1 worker on 2 cores / bare fit on 2 threads, >= 0.95", "ours-1-2", "fit-2", 0.95),
    ("2 workers / bare fit on 2 threads, >= 0.95", "ours-2", "fit-2", 0.95),
    ("2 workers / 1 worker (2 would be perfect)", "ours-2", "ours-1", None),
)
MAX_WAIT = 0.05  # of the time of steps
Measured = dict[str, float]


def fit(threads: int, manifest_uri: str, preset_name: str) -> Measured:
    """Bare Keras; images/s after the first epoch."""
    import numpy as np

    from model.presets import preset
    from model.runtime import import_tensorflow
    from pipelines.cluster.session import quiet_libraries, start_ray
    from pipelines.images.decoding import decode_manifest
    from pipelines.manifests import manifest

    recipe = preset(preset_name)
    quiet_libraries()
    start_ray()
    rows = manifest.labelled(manifest.read_manifest(manifest_uri), "train", "drop")
    images = decode_manifest(rows, recipe.input)
    import ray

    ray.shutdown()
    pixels, rows = images.pixels, rows.take(images.rows)
    targets = {
        head.name: manifest.codes(rows, head.label).astype(np.float32)[:, None]
        for head in recipe.heads
    }
    import_tensorflow(threads)
    import keras

    from model.networks import build_network
    from model.optimizers import build_optimizer

    network: Any = build_network(recipe.network, recipe.input.shape, recipe.heads)
    losses = {"binary": "binary_crossentropy", "value": "mean_absolute_error"}
    network.compile(
        optimizer=build_optimizer(recipe.optimizer, 1),
        loss={head.name: losses[head.kind] for head in recipe.heads},
    )
    ended: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ended.append(time.monotonic()))
    # Full batches only, as jobs.train takes.
    count = len(pixels) // recipe.global_batch_size * recipe.global_batch_size
    network.fit(
        pixels[:count], {name: values[:count] for name, values in targets.items()},
        batch_size=recipe.global_batch_size, epochs=EPOCHS, verbose=0, callbacks=[clock],
    )  # fmt: skip
    seconds = statistics.median(b - a for a, b in itertools.pairwise(ended))
    return {"images": count, "rate": count / seconds}


def facemill(workers: int, cores: int, manifest_uri: str, preset_name: str) -> Measured:
    """jobs.train; images/s after the first epoch, and the share of time that waits for data."""
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
        harness.run(
            "jobs.train", "--manifest", manifest_uri, "--output", f"{folder}/out",
            "--preset", preset_name, "--epochs", EPOCHS, "--workers", workers,
            "--cpus-per-worker", cores, "--cache", Path(manifest_uri).parent / "decoded",
        )  # fmt: skip
        record = json.loads(Path(folder, "out", "bundle", "bundle.json").read_text())
    middle = {
        name: statistics.median(row[name] for row in record["history"][1:])
        for name in ("seconds", "images_per_s", "data_wait_share")
    }
    rate, waited = middle["images_per_s"], middle["data_wait_share"]
    return {"images": round(rate * middle["seconds"]), "rate": rate, "data_wait_share": waited}


def measure(contender: str, manifest_uri: str, preset_name: str) -> Measured:
    """A contender in this process."""
    kind, number, *cores = contender.split("-")
    if kind == "fit":
        return fit(int(number), manifest_uri, preset_name)
    return facemill(int(number), int(cores[0]) if cores else 1, manifest_uri, preset_name)


def result(runs: dict[str, list[Measured]], preset_name: str) -> list[str]:
    """The tables."""
    rate = harness.medians({name: [one["rate"] for one in runs[name]] for name in runs})
    waits = {name: [one["data_wait_share"] for one in runs[name]
                    if "data_wait_share" in one] for name in runs}  # fmt: skip
    rows = [
        (NAMES[name], f"{int(taken[0]['images']):,}", f"{rate[name]:,.1f}",
         ", ".join(f"{one['rate']:,.1f}" for one in taken),
         f"{statistics.median(waits[name]):.2%}" if waits[name] else "–")
        for name, taken in runs.items()
    ]  # fmt: skip
    targets = [
        (text, f"{rate[one] / rate[other]:.2f}",
         "" if wanted is None else "met" if rate[one] / rate[other] >= wanted else "missed")
        for text, one, other, wanted in TARGETS
        if one in rate and other in rate
    ]  # fmt: skip
    if every := [share for shares in waits.values() for share in shares]:
        title = f"largest share of step time that waits for data, <= {MAX_WAIT:.0%}"
        targets.append((title, f"{max(every):.2%}", "met" if max(every) <= MAX_WAIT else "missed"))
    head = ["contender", "images:", "images/s:", "all turns", "waits for data:"]
    return [
        f"Same images, same network ({preset_name}), same batch; every contender a process of its "
        "own, taking turns; medians over the turns of the median epoch after the first. Validation "
        "and start-up are left out for all.", "",
        *harness.table(head, rows), "", *harness.table(["target", "measured:", ""], targets),
    ]  # fmt: skip


def main() -> None:
    """Take turns, then write the table."""
    parser = harness.arguments(__doc__, "benchmarks/training.md")
    parser.add_argument("--only", nargs="*", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--preset", help="default: seed-final with --full, else demo")
    parser.add_argument("--contender", nargs=2, metavar=("NAME", "MANIFEST"), help="run it here")
    given = harness.parsed(parser)
    count, usual, rounds = FULL if given.full else SMALL
    preset = given.preset or usual
    if given.contender:
        name, uri = given.contender
        print(json.dumps(measure(name, uri, preset)), flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
        # 60 % of the images are train.
        uri = harness.manifest(Path(folder), given.images, round(count / 0.6))
        words = ["--preset", preset, "--contender"]
        runs = harness.turns(
            {
                name: functools.partial(harness.apart, "benchmarks.training", *words, name, uri)
                for name in given.only
            },
            rounds,
        )
    harness.write(given, result(runs, preset))


if __name__ == "__main__":
    main()
