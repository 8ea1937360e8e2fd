"""Manifest -> bundle: `python -m jobs.train --manifest URI --output URI --preset seed-final`.

Leaves below --output: bundle/ (what jobs.score loads), history.parquet, curves.png, network.png,
tensorboard/, weights.npz (what --start-from takes), checkpoints/ (one an epoch, the last two kept)
and train.json (the resolved recipe).
Killed? The same command resumes from the last checkpoint; a finished run says so and does nothing.
"""

import dataclasses
import statistics
import time
from collections.abc import Sequence
from typing import Literal

from jobs import cli
from model import heads
from model.errors import UsageError
from model.presets import PRESETS, preset
from model.recipes import Recipe
from model.runtime import import_tensorflow
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.manifests.manifest import ConflictRule
from pipelines.training.options import Balance, Precision, Trained, TrainOptions, open_start

_COUNTS = (
    "num_workers", "min_workers", "epochs", "global_batch_size", "accumulate", "early_stopping",
    "checkpoint_every_steps", "keep_best",
)  # fmt: skip


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
    min_workers: int | None = None
    """Go on with as few workers when the cluster shrinks, and with more when it grows again."""
    cpus_per_worker: int = 0
    """Cores of each worker; 0 shares out those of the machine or the cluster."""
    use_gpu: bool = False
    """One GPU a worker."""
    epochs: int | None = None
    """Passes over the train split; default: the preset's."""
    global_batch_size: int | None = None
    """Images a step over all workers; default: the preset's."""
    accumulate: int = 1
    """Micro-batches in which each worker takes its part of a step, to save memory; the step stays
    one of --global-batch-size images (batch norm sees the micro-batches)."""
    early_stopping: int | None = None
    """End after so many epochs without a better validation loss."""
    balance: Balance = "none"
    """Weigh train examples by the rarity of their decade of age or of their gender, up to 10:1."""
    age_head: Literal["preset", "groups"] = "preset"
    """groups: a softmax over 0-10, 11-20, … in place of the age in years (the seed's proposal)."""
    race_head: Literal["preset", "auxiliary", "kept"] = "preset"
    """auxiliary: learn UTKFace's five race labels for what they teach the network, and leave that
    head out of the bundle; kept: keep it. The labels are other people's guesses, and predicting
    them of a person is not a use we support: scoring writes no such column; see the model card."""
    learning_rate: float | None = None
    """Peak learning rate; default: the preset's."""
    clip_norm: float | None = None
    """Largest norm of a step's gradient over all workers; default: the preset's, none in ours."""
    precision: Precision = "float32"
    """Of the network's body; the heads stay in float32. float16 scales the loss and gives up
    steps that overflow; it is for GPUs without bfloat16."""
    conflicts: ConflictRule = "drop"
    """Identical train images with contradicting labels: drop teaches nothing known to be wrong and
    costs about 2 % of UTKFace; median gives them the group's median; keep keeps them."""
    seed: int = 0
    """Of initialisation, order and augmentation."""
    max_failures: int = 3
    """Restarts of the worker group before the run gives up."""
    checkpoint_every_steps: int | None = None
    """Checkpoints within epochs too."""
    keep_best: int | None = None
    """Keep so many checkpoints by validation loss, and the last; default: the last two."""
    cache: str | None = None
    """Folder or s3:// prefix for decoded images, which later runs with the same images and input
    size reuse; default: below --output, while the run lasts."""
    mlflow_uri: str | None = None
    """MLflow tracking server or folder (extra `mlflow`)."""
    weights_dtype: Literal["float32", "float16"] = "float32"
    """float16 halves the bundle on disk."""
    teachers: tuple[str, ...] = ()
    """Bundles whose mean answer each augmented image is to be given, beside its label: several
    networks distilled into one. They must take the same colours; a size of their own is made."""
    start_from: str | None = None
    """--output of a finished run to begin with in place of random weights, to train it for longer
    or on faces of your own; the same preset, and usually a lower --learning-rate. Pictures have
    their full size from the first epoch on."""


def job(config: TrainConfig) -> None:
    """Train and print a summary."""
    if config.list_presets:
        _list_presets()
        return
    for name in ("manifest", "output"):
        if not getattr(config, name):
            raise UsageError(f"--{name} is missing: give a folder or an s3:// prefix")
    for name in _COUNTS:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} {value} must be at least 1")
    if not 0 <= config.seed < 2**32:
        raise UsageError(f"--seed {config.seed} must be from 0 to {2**32 - 1}")
    if config.cpus_per_worker < 0:
        raise UsageError(
            f"--cpus-per-worker {config.cpus_per_worker} must be at least 1, or 0 to share out "
            "what there is"
        )
    source, output = storage.normalize(config.manifest), storage.normalize(config.output)
    cache = storage.normalize(config.cache) if config.cache else None
    recipe = resolve(config)
    start = None
    if config.start_from:
        first = storage.normalize(config.start_from)
        storage.require_readable(first, "--start-from")
        start = open_start(first, recipe)
    options = TrainOptions(
        recipe, source, output, config.num_workers, config.cpus_per_worker, config.use_gpu,
        config.precision, config.conflicts, config.seed, config.max_failures,
        config.weights_dtype, config.min_workers, config.accumulate, config.early_stopping,
        config.balance, config.checkpoint_every_steps, config.keep_best, cache, config.mlflow_uri,
        tuple(open_bundle(uri) for uri in config.teachers), start,
    )  # fmt: skip
    storage.require_readable(source, "--manifest")
    storage.require_writable(output, "--output")
    if cache:
        storage.require_writable(cache, "--cache")
    cli.start_ray()
    from pipelines.cluster.resources import Ask, cores_a_worker, require
    from pipelines.training.run import train

    most, gpus = config.num_workers, int(config.use_gpu)
    least, cpus = config.min_workers or most, config.cpus_per_worker
    require(Ask({"CPU": cpus or 1, "GPU": gpus}, least))
    cpus = cpus or cores_a_worker(most, gpus) or cores_a_worker(least, gpus)
    options = dataclasses.replace(options, cpus_per_worker=cpus)

    started = time.monotonic()
    result = train(options)
    verb = "already trained" if result.already_done else "trained"
    seconds = time.monotonic() - started
    cli.print_table(f"{verb} {options.recipe.name} in {seconds:,.0f} s", _summary(options, result))


def resolve(config: TrainConfig) -> Recipe:
    """The preset with the arguments that override it."""
    overrides = {
        name: getattr(config, name)
        for name in ("epochs", "global_batch_size")
        if getattr(config, name) is not None
    }
    recipe = dataclasses.replace(preset(config.preset), **overrides)
    auxiliary = {"preset": recipe.auxiliary, "auxiliary": ("race",), "kept": ()}[config.race_head]
    recipe = dataclasses.replace(recipe, heads=_heads(config, recipe.heads), auxiliary=auxiliary)
    changes: dict[str, float] = {}
    for name in ("learning_rate", "clip_norm"):
        value = getattr(config, name)
        if value is not None:
            if not value > 0:
                raise UsageError(f"--{name.replace('_', '-')} {value:g} must be above 0")
            changes[name] = value
    sides = () if config.start_from else recipe.sides
    optimizer = dataclasses.replace(recipe.optimizer, **changes)
    return dataclasses.replace(recipe, optimizer=optimizer, sides=sides)


def _summary(options: TrainOptions, result: Trained) -> list[tuple[str, object]]:
    """What a run left behind: scores of the best epoch, speed, cost, and where things are."""
    best = result.history[result.best_epoch - 1]
    epochs, planned = len(result.history), options.recipe.epochs
    early = f" of {planned}, stopped early" if epochs < planned else ""
    seconds = sum(row["seconds"] for row in result.history)
    # An elastic group may have shrunk meanwhile; rows of older runs do not say.
    worked = sum(row["seconds"] * row.get("workers", options.workers) for row in result.history)
    waited = sum(row["seconds"] * row.get("data_wait_share", 0.0) for row in result.history)
    speed = statistics.median(row["images_per_s"] for row in result.history)
    what = "GPU" if options.use_gpu else "core"
    units = 1 if options.use_gpu else options.cpus_per_worker
    return [
        ("epochs", f"{epochs}{early}, best by val loss: {best['epoch']:.0f}"),
        *((name, f"{value:.4f}") for name, value in best.items() if name.startswith("val_")),
        ("speed", f"{speed:,.0f} images/s, {waited / seconds:.1%} of the time waiting for data"),
        ("cost", f"{worked * units / 3600:.2f} {what} hours of training steps"),
        ("not decodable", f"{len(result.rejects)} images left out"),
        ("bundle", f"{result.bundle_uri} ({result.bundle_id})"),
        ("curves", storage.join(options.output, "curves.png")),
        (
            "next",
            f"python -m jobs.evaluate --bundle {result.bundle_uri} --manifest {options.manifest} "
            "--split test --output runs/evaluate",
        ),
    ]


def _heads(config: TrainConfig, given: tuple[heads.Head, ...]) -> tuple[heads.Head, ...]:
    """The preset's heads with --age-head and --race-head applied."""
    chosen = list(given)
    if config.age_head == "groups":
        if not any(head.label == "age_years" for head in given):
            raise UsageError(
                f"--age-head groups: {config.preset} has no age head that it could replace; choose "
                "a preset that reads ages, for example seed-final"
            )
        chosen = [heads.AGE_GROUPS if head.label == "age_years" else head for head in chosen]
    if config.race_head != "preset" and not any(head.label == "race" for head in chosen):
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
