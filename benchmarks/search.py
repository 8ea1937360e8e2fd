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

from benchmarks._contenders import ROOT, command_line, is_missing
from model import heads
from model.preprocessing import InputSpec
from model.presets import preset
from model.recipes import Augmentation, Recipe
from model.runtime import machine
from pipelines.manifests import manifest

DOCUMENT = ROOT / "docs" / "benchmarks" / "search.md"
SIDE, EPOCHS = 64, 10
THREADS = 2


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One change of the base, in words and as a recipe."""

    what: str
    recipe: Recipe
    seed: int = 0

    def identity(self, fingerprint: str) -> dict[str, Any]:
        """What a stored result must have been made from to stand for this one."""
        recipe = json.loads(json.dumps(self.recipe.to_json()))
        return {"recipe": recipe, "seed": self.seed, "manifest": fingerprint}


def candidates(side: int, epochs: int) -> dict[str, Candidate]:
    """What is compared, by name; the first is the base."""
    full = preset("facemill")
    network, picture = (
        full.network,
        InputSpec(side, side, "rgb"),
    )  # Lanczos filter, for all candidates alike
    base = dataclasses.replace(full, name="base", source="", epochs=epochs, input=picture)
    gender, age, race = base.heads

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
        "base": Candidate(f"AdamW, RGB {side}x{side}", base),
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
        "muon-grey": Candidate(
            "Muon, grey in place of RGB",
            dataclasses.replace(
                with_optimizer(name="muon"), input=dataclasses.replace(base.input, color="grey")
            ),
        ),
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

    from model.heads import encode_target
    from model.runtime import import_tensorflow
    from pipelines.cluster.session import quiet_libraries, start_ray
    from pipelines.images.pixel_cache import decoded
    from pipelines.training.feeding import Feed, Split
    from pipelines.training.replica import Replica

    recipe, seed = candidate.recipe, candidate.seed
    quiet_libraries()
    start_ray()
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
    seconds = 0.0
    scores = dict[str, float]()
    history = list[float]()
    for epoch in range(recipe.epochs):
        began = time.monotonic()
        total = 0.0
        side = recipe.side_at(epoch)
        for batch in train.epoch(seed, epoch, recipe.global_batch_size, replica.places):
            total = total + replica.train_step(batch, side)
        scores = replica.scores(np.asarray(total), "train")
        seconds += time.monotonic() - began
        sums = replica.validate(val, [0.0], side)
        scores |= replica.scores(sums.astype(np.float32), "val")
        history.append(round(scores["val_age_mae"], 3))
        print(f"{epoch + 1}: {json.dumps({k: round(v, 3) for k, v in scores.items()})}", flush=True)
    return {
        "of": candidate.identity(manifest.fingerprint(manifest.read_manifest(manifest_uri))),
        "what": candidate.what,
        "weights": replica.network.count_params(),
        "images_per_s": steps * recipe.epochs * recipe.global_batch_size / seconds,
        "seconds": seconds,
        "history": history,
        "date": str(datetime.datetime.now(datetime.UTC).date()),
        **scores,
    }


def document(results: dict[str, dict[str, Any]], side: int, epochs: int) -> str:
    """docs/benchmarks/search.md."""
    base = results["base"]["val_age_mae"]
    lines = [
        "# One change at a time", "",
        f"`{command_line()}`: the preset `facemill`",
        f"at {side}x{side} pixels for {epochs} epochs in bfloat16, and each time one change.",
        "Validation split; averaged weights of the last epoch. Images/s beside other work.",
        "", f"{machine()}.", "",
        "| run | what | val age MAE, years | against base | val gender | train / val loss |"
        " images/s | date |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]  # fmt: skip
    for name, row in results.items():
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
    if is_missing(chosen.manifest):
        return
    every = candidates(chosen.side, chosen.epochs)
    names = list(chosen.only or every)
    if unknown := set(names) - set(every):
        parser.error(f"--only {' '.join(sorted(unknown))}: choose from {', '.join(every)}")
    folder = chosen.output / f"{chosen.side}px-{chosen.epochs}epochs"
    if chosen.candidate:
        result = run(every[chosen.candidate], chosen.manifest, str(chosen.output / "decoded"))
        (folder / f"{chosen.candidate}.json").write_text(json.dumps(result, indent=1))
        return
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = manifest.fingerprint(manifest.read_manifest(chosen.manifest))
    results = dict[str, dict[str, Any]]()
    for name, candidate in every.items():
        file, wanted = folder / f"{name}.json", candidate.identity(fingerprint)
        if name in names and not _is_of(file, wanted):
            print(f"== {name}: {candidate.what}", flush=True)
            again = ["-m", "benchmarks.search", *sys.argv[1:], "--candidate", name]
            subprocess.run([sys.executable, *again], check=True, cwd=ROOT)
        if _is_of(file, wanted):
            results[name] = {**json.loads(file.read_text()), "what": candidate.what}
    if "base" not in results:
        print("no table: the base has not been run with these arguments")
        return
    text = document(results, chosen.side, chosen.epochs)
    if folder.name == f"{SIDE}px-{EPOCHS}epochs":
        DOCUMENT.write_text(text)
    print(text)


def _is_of(file: Path, wanted: dict[str, Any]) -> bool:
    return file.exists() and json.loads(file.read_text()).get("of") == wanted


if __name__ == "__main__":
    main()
