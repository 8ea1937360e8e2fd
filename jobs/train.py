"""Manifest -> bundle: `python -m jobs.train --manifest URI --output URI --preset seed-final`.

Leaves below --output: bundle/ (what jobs.score loads), history.parquet, curves.png, network.png,
tensorboard/, weights.npz (what --start-from takes), checkpoints/ (one an epoch, the last two kept)
and train.json (the options and the resolved recipe).
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
    from pipelines.cluster.resources import Ask, cores_a_worker, require
    from pipelines.cluster.session import start_ray
    from pipelines.training.claim import resolve
    from pipelines.training.run import train
    from pipelines.training.summary import summary

    workers, gpus = options.workers, int(options.workers.use_gpu)
    planned = resolve(options)
    storage.require_readable(planned.manifest, "`manifest`")
    storage.require_writable(planned.output, "`output`")
    if options.run.cache:
        storage.require_writable(storage.normalize(options.run.cache), "`cache`")
    start_ray()
    require(Ask({"CPU": workers.cpus_per_worker or 1, "GPU": gpus}, workers.least))
    cpus = (
        workers.cpus_per_worker
        or cores_a_worker(workers.num_workers, gpus)
        or cores_a_worker(workers.least, gpus)
    )
    started = time.monotonic()
    trained = train(planned, cpus)
    verb = "already trained" if trained.already_done else "trained"
    seconds = time.monotonic() - started
    title = f"{verb} {planned.recipe.name} in {seconds:,.0f} s"
    arguments = (
        f"--bundle {trained.bundle_uri} --manifest {planned.manifest} --output runs/evaluate"
    )
    next_step = ("next", f"python -m jobs.evaluate {arguments}")
    cli.print_table(title, [*summary(planned, trained, cpus), next_step])


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
