"""Speed of training against a bare Keras `fit`: `python -m benchmarks.training --images FOLDER`.

Same images, same network (seed-final), same batch, same machine; every contender is a process of
its own, they take turns (A B A B …) and the medians count. The rates are those of the epochs after
the first, which compiles. Writes docs/benchmarks/training.md; `--quick` draws 160 faces and trains
the demo network, to see that all of this works.

    fit-1   keras: compile and fit on arrays in memory, no Ray, 1 thread
    ours-1  jobs.train, 1 worker on 1 core
    fit-2   as fit-1, 2 threads
    ours-2  jobs.train, 2 workers on 1 core each
"""

import argparse
import datetime
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._contenders import command_line
from model.runtime import machine

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks" / "training.md"
NAMES = {
    "fit-1": "bare Keras `fit`, 1 thread",
    "ours-1": "**jobs.train, 1 worker on 1 core**",
    "fit-2": "bare Keras `fit`, 2 threads",
    "ours-2": "**jobs.train, 2 workers on 1 core each**",
    "ours-1-2": "**jobs.train, 1 worker on 2 cores**",
}
EPOCHS = 4
# (what, contender, against, target)
TARGETS = (
    ("1 worker on 1 core / bare fit on 1 thread, >= 0.95", "ours-1", "fit-1", 0.95),
    ("1 worker on 2 cores / bare fit on 2 threads, >= 0.95", "ours-1-2", "fit-2", 0.95),
    ("2 workers / bare fit on 2 threads, >= 0.95", "ours-2", "fit-2", 0.95),
    ("2 workers / 1 worker (2 would be perfect)", "ours-2", "ours-1", None),
)


def prepared(folder: Path, images: str, count: int, quick: bool) -> str:
    """A manifest of `count` train images and a few others, made below `folder`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from pipelines import storage
    from pipelines.cluster.session import quiet_libraries, start_ray
    from pipelines.images.drawn_faces import draw_faces
    from pipelines.manifests import manifest
    from pipelines.manifests.ingest import ingest, write_ingested
    from pipelines.manifests.options import IngestOptions
    from pipelines.storage import tables

    if quick:
        images = str(folder / "faces")
        draw_faces(Path(images), count=count, seed=0)
    quiet_libraries()
    start_ray()
    options = IngestOptions(images)
    write_ingested(ingest(options), options, str(folder / "all"))
    table = manifest.read_manifest(str(folder / "all"))
    parts = [
        table.filter(pc.equal(table["split"].cast(pa.string()), split)).slice(0, some)
        for split, some in (("train", count), ("val", 200), ("test", 50))
    ]
    uri = storage.join(str(folder), "manifest.parquet")
    tables.write_table(uri, pa.concat_tables(parts))
    import ray

    ray.shutdown()
    return uri


def fit(threads: int, uri: str, preset_name: str) -> dict[str, float]:
    """Run the bare Keras contender; images/s after the first epoch."""
    import numpy as np

    from model.presets import preset
    from model.runtime import import_tensorflow
    from pipelines.cluster.session import quiet_libraries, start_ray
    from pipelines.images.decoding import decode_manifest
    from pipelines.manifests import manifest

    recipe = preset(preset_name)
    quiet_libraries()
    start_ray()
    rows = manifest.labelled(manifest.read_manifest(uri), "train", "drop")
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
    # Whole batches only, as jobs.train takes.
    steps = len(pixels) // recipe.global_batch_size
    whole = steps * recipe.global_batch_size
    network.fit(
        pixels[:whole], {name: values[:whole] for name, values in targets.items()},
        batch_size=recipe.global_batch_size, epochs=EPOCHS, verbose=0, callbacks=[clock],
    )  # fmt: skip
    seconds = statistics.median(b - a for a, b in itertools.pairwise(ended))
    return {"images": whole, "rate": whole / seconds}


def facemill(workers: int, cores: int, uri: str, preset_name: str, folder: str) -> dict[str, float]:
    """Run jobs.train; images/s after the first epoch, and the share of time that waits for data."""
    output = Path(folder) / "out"
    command = [
        sys.executable, "-m", "jobs.train", "--manifest", uri, "--output", str(output),
        "--preset", preset_name, "--epochs", str(EPOCHS), "--workers", str(workers),
        "--cpus-per-worker", str(cores), "--cache", str(Path(uri).parent / "decoded"),
    ]  # fmt: skip
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    record = json.loads((output / "bundle" / "bundle.json").read_text())
    rows = record["history"][1:]
    seconds = statistics.median(row["seconds"] for row in rows)
    rate = statistics.median(row["images_per_s"] for row in rows)
    waited = statistics.median(row["data_wait_share"] for row in rows)
    return {"images": round(rate * seconds), "rate": rate, "data_wait_share": waited}


def measured(name: str, uri: str, preset_name: str) -> dict[str, float]:
    """Run one contender in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.training", "--contender", name,
               "--manifest", uri, "--preset", preset_name]  # fmt: skip
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(runs: dict[str, list[dict[str, float]]], preset_name: str) -> str:
    """docs/benchmarks/training.md."""
    rate = {k: statistics.median(run["rate"] for run in turns) for k, turns in runs.items()}
    now = datetime.datetime.now(datetime.UTC).date()
    lines = [
        "# Speed of training", "",
        f"`{command_line()}`: same images, same network ({preset_name}), same batch;",
        "every contender a process of its own, taking turns; medians over the rounds of the median",
        "epoch after the first. Validation and start-up are left out for all.",
        "", f"{now}, {machine()}, load at the end {os.getloadavg()[0]:.1f}.", "",
        "| contender | images | images/s | all rounds | waits for data |",
        "|---|---:|---:|---|---:|",
    ]  # fmt: skip
    for name, turns in runs.items():
        every = ", ".join(f"{run['rate']:,.1f}" for run in turns)
        waits = [run["data_wait_share"] for run in turns if "data_wait_share" in run]
        waited = f"{statistics.median(waits):.2%}" if waits else "–"
        count = int(turns[0]["images"])
        lines.append(f"| {NAMES[name]} | {count:,} | {rate[name]:,.1f} | {every} | {waited} |")
    lines += ["", "| target | measured | |", "|---|---:|---|"]
    for text, name, against, wanted in TARGETS:
        if name in rate and against in rate:
            ratio = rate[name] / rate[against]
            met = "" if wanted is None else "met" if ratio >= wanted else "missed"
            lines.append(f"| {text} | {ratio:.2f} | {met} |")
    waits = [
        r["data_wait_share"] for turns in runs.values() for r in turns if "data_wait_share" in r
    ]
    if waits:
        met = "met" if max(waits) <= 0.05 else "missed"
        lines.append(
            f"| largest share of step time that waits for data, <= 5 % | {max(waits):.2%} | {met} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Take turns, then write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", default=str(ROOT.parent / "shared" / "data" / "utkface"))
    parser.add_argument("--limit", type=int, default=2048, help="train images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--quick", action="store_true", help="160 drawn faces, demo, one round")
    parser.add_argument("--preset", default="seed-final")
    parser.add_argument("--contender", choices=list(NAMES), help=argparse.SUPPRESS)
    parser.add_argument("--manifest", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=None)
    chosen = parser.parse_args()
    if chosen.contender:
        kind, number, *cores = chosen.contender.split("-")
        with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
            uri, name = chosen.manifest, chosen.preset
            result = (
                fit(int(number), uri, name) if kind == "fit"
                else facemill(int(number), int(cores[0]) if cores else 1, uri, name, folder)
            )  # fmt: skip
        print(json.dumps(result), flush=True)
        return
    if chosen.quick:
        chosen.limit, chosen.rounds, chosen.preset = 160, 1, "demo"
    elif not Path(chosen.images).is_dir():
        print(f"skipped: {chosen.images} is missing; give --images FOLDER")
        return
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in chosen.only}
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
        uri = prepared(Path(folder), chosen.images, chosen.limit, chosen.quick)
        for number in range(chosen.rounds):
            for name in chosen.only:
                runs[name].append(measured(name, uri, chosen.preset))
                print(f"round {number + 1} {name}: {runs[name][-1]}", flush=True)
    text = table(runs, chosen.preset)
    output = chosen.output or (None if chosen.quick else DOCUMENT)
    if output is not None:
        output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
