"""Metrics of a bundle: `python -m jobs.evaluate --bundle URI --manifest URI --split test …`.

Writes below --output: metrics.json (each figure with its bootstrap 95 % interval),
evaluation.parquet (one row per label: prediction, label, error) and the predictions themselves.
`--images FOLDER` with UTKFace names works without a manifest.
"""

from collections.abc import Sequence

from jobs import cli
from model.tta import require_crop
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.cluster.session import start_ray
from pipelines.scoring.options import EvaluateOptions


def job(options: EvaluateOptions) -> None:
    """Evaluate and print the metrics."""
    from pipelines.scoring import summaries
    from pipelines.scoring.evaluation import evaluate, labelled_rows

    scoring = options.scoring()
    bundle = open_bundle(options.bundle)
    require_crop(bundle, options.tta)
    storage.require_writable(scoring.place, "`output`")
    if options.images:
        storage.require_readable(storage.normalize(options.images), "`images`")
    start_ray()
    evaluation = evaluate(scoring, bundle, labelled_rows(options))
    title, rows = summaries.of_evaluation(evaluation, bundle, scoring.place)
    next_step = ("next", "python -m jobs.score --images FOLDER --output runs/score")
    cli.print_table(title, [*rows, next_step])


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(EvaluateOptions, job, argv)


if __name__ == "__main__":
    main()
