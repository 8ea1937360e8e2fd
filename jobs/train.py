"""Train a network: `python -m jobs.train --manifest URI --output URI --preset facemill-photo`.

Writes below --output: bundle/ (for jobs.score), history.parquet, curves.png, network.png,
tensorboard/, weights.npz (for --start-from), checkpoints/ (one per epoch, of which the last two are
kept) and train.json (the options and the resolved recipe). If the run is killed, the same command
continues from the last checkpoint. If it is finished, the command says so and does nothing.
"""

import time
from collections.abc import Sequence

from jobs import cli
from pipelines.training.options import TrainOptions


def job(options: TrainOptions) -> None:
    """Train and print a summary."""
    if options.preset == "list":
        list_presets()
        return
    # Imported here: --help shall not wait for Ray.
    from pipelines.cluster.session import start_ray
    from pipelines.training import summary
    from pipelines.training.job import prepare
    from pipelines.training.plan import plan
    from pipelines.training.run import train

    prepared = prepare(options)
    if options.dry_run:
        cli.print_table(cli.DRY_RUN, summary.of_plan(plan(prepared)))
        return
    prepared.require_places()
    start_ray()
    started = time.monotonic()
    trained = train(prepared)
    verb = "already trained" if trained.already_done else "trained"
    where = {"bundle": trained.bundle_uri, "manifest": prepared.manifest}
    cli.print_table(
        f"{verb} {prepared.recipe.name} in {time.monotonic() - started:,.0f} s",
        [
            *summary.of_training(prepared, trained),
            ("next", cli.command("evaluate", **where, output="runs/evaluate")),
        ],
    )


def list_presets() -> None:
    """Print every preset with its weights, GFLOP an image and source."""
    from model.networks import describe
    from model.presets import PRESETS
    from model.runtime import import_tensorflow

    import_tensorflow()
    for recipe in PRESETS.values():
        print(f"{recipe.name:<21}{describe(recipe.network, recipe.input.shape, recipe.heads)}")
        print(f"{'':<21}{recipe.source}")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    if cli.moved(argv, "--folds", "cross_validate"):
        return
    cli.run(TrainOptions, job, argv)


if __name__ == "__main__":
    main()
