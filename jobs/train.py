"""Manifest -> bundle: `python -m jobs.train --manifest URI --output URI --preset seed-final`.

Leaves below --output: bundle/ (what jobs.score loads), history.parquet, curves.png, checkpoints/
(one an epoch, the last two kept) and train.json (the resolved recipe). Killed? The same command
resumes from the last epoch; a finished run says so and does nothing.
"""

import dataclasses
import os
import time
from collections.abc import Sequence
from typing import Literal

from jobs import cli
from model import heads
from model.errors import UsageError
from model.presets import PRESETS, preset
from model.runtime import import_tensorflow
from pipelines import storage
from pipelines.manifest import ConflictRule


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Arguments of `jobs.train`."""

    manifest: str = ""
    """Output of jobs.ingest, or a labelled Parquet."""
    output: str = ""
    """Folder or s3:// prefix for the bundle, checkpoints, history and curves."""
    preset: str = "seed-final"
    """Recipe to train; see --list-presets."""
    list_presets: bool = False
    """Print the presets with weights, GFLOP an image and what to expect, and stop."""
    num_workers: int = 1
    """Data-parallel workers; the global batch is split among them."""
    cpus_per_worker: int = 0
    """Cores of each worker; 0 shares out this machine's."""
    use_gpu: bool = False
    """One GPU a worker."""
    epochs: int | None = None
    """Passes over the train split; default: the preset's."""
    global_batch_size: int | None = None
    """Images a step over all workers; default: the preset's."""
    age_head: Literal["preset", "groups"] = "preset"
    """groups: a softmax over 0-10, 11-20, … in place of the age in years (the seed's proposal)."""
    race_head: bool = False
    """Add a head for UTKFace's five race labels. Off by default: the labels are other people's
    guesses, and predicting them of a person is not a use we support; see the model card."""
    learning_rate: float | None = None
    """Peak learning rate; default: the preset's."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's body; the heads stay in float32."""
    conflicts: ConflictRule = "drop"
    """Identical train images with contradicting labels: drop teaches nothing known to be wrong and
    costs about 2 % of UTKFace; median gives them the group's median; keep keeps them."""
    seed: int = 0
    """Of initialisation, order and augmentation."""
    max_failures: int = 3
    """Restarts of the worker group before the run gives up."""
    weights_dtype: Literal["float32", "float16"] = "float32"
    """float16 halves the bundle on disk."""


def job(config: TrainConfig) -> None:
    """Train and print a summary."""
    if config.list_presets:
        _list_presets()
        return
    for name in ("manifest", "output"):
        if not getattr(config, name):
            raise UsageError(f"--{name} is missing: give a folder or an s3:// prefix")
    for name in ("num_workers", "epochs", "global_batch_size"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} {value} must be at least 1")
    overrides = {
        name: getattr(config, name)
        for name in ("epochs", "global_batch_size")
        if getattr(config, name) is not None
    }
    recipe = dataclasses.replace(preset(config.preset), **overrides)
    recipe = dataclasses.replace(recipe, heads=_heads(config, recipe.heads))
    if config.learning_rate is not None:
        optimizer = dataclasses.replace(recipe.optimizer, learning_rate=config.learning_rate)
        recipe = dataclasses.replace(recipe, optimizer=optimizer)
    source, output = storage.normalize(config.manifest), storage.normalize(config.output)
    storage.require_readable(source, "--manifest")
    storage.require_writable(output, "--output")
    cli.start_ray()
    from pipelines.training import TrainOptions, train

    cpus = config.cpus_per_worker or max(1, (os.cpu_count() or 1) // config.num_workers)
    started = time.monotonic()
    result = train(
        TrainOptions(
            recipe, source, output, config.num_workers, cpus, config.use_gpu, config.precision,
            config.conflicts, config.seed, config.max_failures, config.weights_dtype,
        )
    )  # fmt: skip
    best = min(result.history, key=lambda row: row["val_loss"])
    scores = [(k, f"{v:.4f}") for k, v in best.items() if k.startswith("val_")]
    verb = "already trained" if result.already_done else "trained"
    cli.print_table(
        f"{verb} {recipe.name} in {time.monotonic() - started:,.0f} s",
        [
            ("epochs", f"{len(result.history)}, best by val loss: {best['epoch']:.0f}"),
            *scores,
            ("not decodable", f"{len(result.rejects)} images left out"),
            ("bundle", f"{result.bundle_uri} ({result.bundle_id})"),
            ("curves", storage.join(output, "curves.png")),
            (
                "next",
                f"python -m jobs.evaluate --bundle {result.bundle_uri} --manifest {source} "
                "--split test --output runs/evaluate",
            ),
        ],
    )


def _heads(config: TrainConfig, given: tuple[heads.Head, ...]) -> tuple[heads.Head, ...]:
    """The preset's heads with --age-head and --race-head applied."""
    chosen = list(given)
    if config.age_head == "groups":
        chosen = [heads.AGE_GROUPS if head.label == "age_years" else head for head in chosen]
    if config.race_head and not any(head.label == "race" for head in chosen):
        chosen.append(heads.RACE)
    return tuple(chosen)


def _list_presets() -> None:
    import_tensorflow()
    from model.networks import describe

    for recipe in PRESETS.values():
        print(f"{recipe.name:<21}{describe(recipe.network, recipe.input.shape, recipe.heads)}")
        print(f"{'':<21}{recipe.source}")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(TrainConfig, job, argv)


if __name__ == "__main__":
    main()
