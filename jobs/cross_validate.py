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
    from pipelines.training import fold_summary
    from pipelines.training.folds import plan_folds, train_folds
    from pipelines.training.job import prepare

    folds = options.cross_validation.folds or _FOLDS
    prepared = prepare(configuration.changed(options, folds=folds))
    if options.dry_run:
        cli.print_table(cli.DRY_RUN, fold_summary.of_plan(plan_folds(prepared)))
        return
    prepared.require_places()
    start_ray()
    started = time.monotonic()
    fitted = train_folds(prepared)
    verb = "already cross-validated" if fitted.already_done else "cross-validated"
    cli.print_table(
        f"{verb} {prepared.recipe.name} in {time.monotonic() - started:,.0f} s",
        [
            *fold_summary.of_run(prepared, fitted),
            ("next", cli.command("label_issues", run=prepared.output, output="issues.html")),
        ],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(CrossValidateOptions, job, argv)


if __name__ == "__main__":
    main()
