"""The search for a network: `python -m benchmarks.search --manifest runs/manifest`.

Each candidate is the base recipe with one change, trained alike for a short while at a low
resolution and measured on val alone. A finished candidate is a file in --output, so the same
command goes on where it was stopped. Writes docs/benchmarks/search.md.
"""

import argparse
import dataclasses
import datetime
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._contenders import ROOT
from model import heads
from model.presets import preset
from model.recipes import Augmentation, Recipe, Residual
from model.runtime import machine

DOCUMENT = ROOT / "docs" / "benchmarks" / "search.md"
SIDE, EPOCHS = 64, 10
THREADS = 2


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One change of the base, in words and as a recipe."""

    what: str
    recipe: Recipe
    seed: int = 0


def candidates(side: int, epochs: int) -> dict[str, Candidate]:
    """What is compared, by name; the first is the base."""
    full = preset("facemill")
    network = full.network
    assert isinstance(network, Residual)
    base = dataclasses.replace(
        full, epochs=epochs, input=dataclasses.replace(full.input, height=side, width=side)
    )
    gender, age, race = full.heads

    def with_network(**changes: Any) -> Recipe:
        return dataclasses.replace(base, network=dataclasses.replace(network, **changes))

    def with_input(**changes: Any) -> Recipe:
        return dataclasses.replace(base, input=dataclasses.replace(base.input, **changes))

    def with_age(**changes: Any) -> Recipe:
        changed = dataclasses.replace(age, **changes)
        return dataclasses.replace(base, heads=(gender, changed, race))

    def with_augmentation(**changes: Any) -> Recipe:
        changed = dataclasses.replace(base.augmentation, **changes)
        return dataclasses.replace(base, augmentation=changed)

    def with_optimizer(**changes: Any) -> Recipe:
        return dataclasses.replace(base, optimizer=dataclasses.replace(base.optimizer, **changes))

    return {
        "base": Candidate(f"facemill, RGB {side}x{side}", base),
        "seed": Candidate("another seed: how much is chance", base, seed=1),
        "l1-age": Candidate(
            "age as one number and its absolute error / 4, in place of a distribution",
            dataclasses.replace(
                base,
                heads=(gender, dataclasses.replace(heads.AGE, weight=0.25), race),
            ),
        ),
        "no-race": Candidate(
            "without the auxiliary race head",
            dataclasses.replace(base, heads=(gender, age), auxiliary=()),
        ),
        "grey": Candidate("grey in place of RGB", with_input(color="grey")),
        "sigma-1": Candidate("soft label of 1 year in place of 2", with_age(sigma_years=1.0)),
        "sigma-4": Candidate("soft label of 4 years in place of 2", with_age(sigma_years=4.0)),
        "no-ema": Candidate("weights not averaged", with_optimizer(ema=None)),
        "no-augmentation": Candidate(
            "mirror images alone",
            dataclasses.replace(base, augmentation=Augmentation(mirror=True)),
        ),
        "no-erasing": Candidate("without random erasing", with_augmentation(erase=0.0)),
        "batch-128": Candidate(
            "batch 128 in place of 64", dataclasses.replace(base, global_batch_size=128)
        ),
        "rate-4e-3": Candidate("peak learning rate 4e-3", with_optimizer(learning_rate=4e-3)),
        "no-dropout": Candidate("without dropout", with_network(dropout=0.0)),
        "muon": Candidate("Muon in place of AdamW", with_optimizer(name="muon")),
        "muon-128": Candidate(
            "Muon, batch 128, peak learning rate 4e-3",
            dataclasses.replace(
                with_optimizer(name="muon", learning_rate=4e-3), global_batch_size=128
            ),
        ),
        "smaller-first": Candidate(
            f"{side * 5 // 8} and {side * 3 // 4} pixels in the first 40 and 70 % of the epochs",
            dataclasses.replace(base, sides=((0.4, side * 5 // 8), (0.7, side * 3 // 4))),
        ),
        "weight-decay-0.2": Candidate("weight decay 0.2", with_optimizer(weight_decay=0.2)),
    }


def run(candidate: Candidate, manifest_uri: str, cache: str) -> dict[str, Any]:
    """Train one candidate in this process; its val figures, speed and cost."""
    import pyarrow as pa
    import ray

    from jobs import cli
    from model.heads import encode_target
    from model.runtime import import_tensorflow
    from pipelines import manifest
    from pipelines.feeding import Feed, Split
    from pipelines.pixel_cache import decoded
    from pipelines.replica import Replica

    recipe, seed = candidate.recipe, candidate.seed
    cli.quiet_libraries()
    cli.start_ray()
    feeds: dict[str, Feed] = {}
    for split, conflicts in (("train", "drop"), ("val", "keep")):
        rows = manifest.labelled(manifest.read_manifest(manifest_uri), split, conflicts)
        images = decoded(rows, recipe.input, cache, f"decode {split}")
        rows = rows.take(pa.array(images.rows, pa.int64()))
        targets = {h.name: encode_target(h, manifest.codes(rows, h.label)) for h in recipe.heads}
        ones = np.ones(rows.num_rows, np.float32)
        feeds[split] = Feed(Split(images.file, images.rows, targets, ones))
    ray.shutdown()
    tf = import_tensorflow(THREADS)
    train, val = feeds["train"], feeds["val"]
    steps = len(train) // recipe.global_batch_size
    replica = Replica(
        recipe, tf.distribute.get_strategy(), 0, 1, steps=steps * recipe.epochs, seed=seed,
        precision="bfloat16",
    )  # fmt: skip
    seconds, scores, history = 0.0, dict[str, float](), list[float]()
    for epoch in range(recipe.epochs):
        began, total, side = time.monotonic(), 0.0, recipe.side_at(epoch)
        for batch in train.epoch(seed, epoch, recipe.global_batch_size, replica.places):
            total = total + replica.train_step(batch, side)
        scores = replica.scores(np.asarray(total), "train")
        seconds += time.monotonic() - began
        scores |= replica.scores(replica.validate(val, [0.0]).astype(np.float32), "val")
        history.append(round(scores["val_age_mae"], 3))
        print(f"{epoch + 1}: {json.dumps({k: round(v, 3) for k, v in scores.items()})}", flush=True)
    return {
        "what": candidate.what,
        "weights": replica.network.count_params(),
        "images_per_s": steps * recipe.epochs * recipe.global_batch_size / seconds,
        "seconds": seconds,
        "history": history,
        "date": str(datetime.datetime.now(datetime.UTC).date()),
        **scores,
    }


def document(found: dict[str, dict[str, Any]], side: int, epochs: int) -> str:
    """docs/benchmarks/search.md."""
    base = found["base"]["val_age_mae"]
    lines = [
        "# One change at a time", "",
        "`python -m benchmarks.search --manifest runs/manifest`: the preset `facemill` at "
        f"{side}x{side} pixels for {epochs} epochs,",
        "bfloat16, and each time one change. Validation split; averaged weights of the last epoch.",
        "", f"{machine()}.", "",
        "| run | what | val age MAE, years | against base | val gender | train / val loss |"
        " images/s | date |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]  # fmt: skip
    for name, row in found.items():
        lines.append(
            f"| {name} | {row['what']} | {row['val_age_mae']:.2f} | "
            f"{row['val_age_mae'] - base:+.2f} | {row['val_gender_accuracy']:.1%} | "
            f"{row['train_loss']:.2f} / {row['val_loss']:.2f}"
            f" | {row['images_per_s']:,.0f} | {row['date']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what has no result yet, each in a process of its own, then write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--manifest", default="runs/manifest")
    parser.add_argument("--output", type=Path, default=Path("runs/search"))
    parser.add_argument("--only", nargs="*", help="names of candidates; all if left out")
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--candidate", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if not Path(chosen.manifest).exists() and "://" not in chosen.manifest:
        print(f"skipped: --manifest {chosen.manifest} is missing; jobs.ingest makes it")
        return
    every = candidates(chosen.side, chosen.epochs)
    folder = chosen.output / f"{chosen.side}px-{chosen.epochs}epochs"
    if chosen.candidate:
        result = run(every[chosen.candidate], chosen.manifest, str(chosen.output / "decoded"))
        (folder / f"{chosen.candidate}.json").write_text(json.dumps(result, indent=1))
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in chosen.only or every:
        if (folder / f"{name}.json").exists():
            continue
        print(f"== {name}: {every[name].what}", flush=True)
        command = [sys.executable, "-m", "benchmarks.search", *sys.argv[1:], "--candidate", name]
        subprocess.run(command, check=True, cwd=ROOT)
    files = {name: folder / f"{name}.json" for name in every}
    found = {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
    text = document(found, chosen.side, chosen.epochs)
    if folder.name == f"{SIDE}px-{EPOCHS}epochs":
        DOCUMENT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
