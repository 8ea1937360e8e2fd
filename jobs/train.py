"""Manifest -> bundle: `python -m jobs.train --manifest URI --output URI --preset seed-final`.

Leaves below --output: bundle/ (what jobs.score loads), history.parquet, curves.png, network.png,
tensorboard/, weights.npz (what --start-from takes), checkpoints/ (one an epoch, the last two kept)
and train.json (the options and the resolved recipe).
With --folds 5 it leaves all that in fold-0/ to fold-4/, each without its fold, and above them
out_of_fold.parquet, suspects.parquet and metrics.json; with --final, in final/, one network more.
Killed? The same command resumes from the last checkpoint; a finished run says so and does nothing.
"""

import time
from collections.abc import Sequence

from jobs import cli
from pipelines import storage
from pipelines.training.options import TrainOptions


def job(options: TrainOptions) -> None:
    """Train and print a summary."""
    if options.list_presets:
        list_presets()
        return
    # Imported here: --help shall not wait for Ray.
    from pipelines.cluster.session import start_ray
    from pipelines.training.claim import resolve
    from pipelines.training.folds import train_folds
    from pipelines.training.room import room_for
    from pipelines.training.run import train
    from pipelines.training.summary import summary, summary_of_folds

    planned = resolve(options)
    storage.require_readable(planned.manifest, "`manifest`")
    storage.require_writable(planned.output, "`output`")
    if options.run.cache:
        storage.require_writable(storage.normalize(options.run.cache), "`cache`")
    start_ray()
    cpus, at_once = room_for(options.workers, options.cross_fitting.folds or 1)
    started = time.monotonic()
    if options.cross_fitting.folds:
        fitted = train_folds(planned, cpus, at_once)
        already, rows = fitted.already_done, summary_of_folds(planned, fitted, cpus)
        command = f"report --suspects {planned.output} --output runs/suspects.html"
    else:
        trained = train(planned, cpus)
        already, rows = trained.already_done, summary(planned, trained, cpus)
        where = f"--bundle {trained.bundle_uri} --manifest {planned.manifest}"
        command = f"evaluate {where} --output runs/evaluate"
    verb = "already trained" if already else "trained"
    title = f"{verb} {planned.recipe.name} in {time.monotonic() - started:,.0f} s"
    cli.print_table(title, [*rows, ("next", f"python -m jobs.{command}")])


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
    cli.run(TrainOptions, job, argv)


if __name__ == "__main__":
    main()
