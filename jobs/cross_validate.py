"""Cross-validate a recipe: `python -m jobs.cross_validate --manifest URI --output URI --folds 5`.

Trains one network per fold, without the images of that fold. Writes below --output: fold-0/ to
fold-4/ (each as jobs.train writes it), out_of_fold.parquet (predictions for every labelled image by
the network that was not trained on it), label_issues.parquet (labels that may be wrong) and
metrics.json; with --final also final/, one network that was trained on all of them. If the run is
killed, the same command continues each training.
"""

import time
from collections.abc import Sequence

from jobs import cli
from pipelines import configuration
from pipelines.training.options import CrossValidateOptions

_FOLDS = 5


def job(options: CrossValidateOptions) -> None:
    """Train the folds and print what they measure together."""
    # Imported here: --help shall not wait for Ray.
    from pipelines.cluster.session import start_ray
    from pipelines.training.capacity import room_for
    from pipelines.training.claim import plan
    from pipelines.training.folds import train_folds
    from pipelines.training.summary import summary_of_folds

    folds = options.cross_validation.folds or _FOLDS
    planned = plan(configuration.changed(options, folds=folds))
    start_ray()
    cpus, at_once = room_for(options.workers, folds)
    started = time.monotonic()
    trained = train_folds(planned, cpus, at_once)
    verb = "already cross-validated" if trained.already_done else "cross-validated"
    cli.print_table(
        f"{verb} {planned.recipe.name} in {time.monotonic() - started:,.0f} s",
        [
            *summary_of_folds(planned, trained, cpus),
            ("next", cli.command("label_issues", run=planned.output, output="issues.html")),
        ],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(CrossValidateOptions, job, argv)


if __name__ == "__main__":
    main()
