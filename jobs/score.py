"""Images -> Parquet predictions: `python -m jobs.score --images URI --output URI`.

Writes below --output: predictions/*.parquet (one row per face), quarantine/*.parquet (one row per
input that could not be scored, and why), inputs/ (the frozen list of inputs) and, last, run.json.
If the run is killed, the same command continues it. `--images one.jpg` without --output prints one
line per face.
"""

from collections.abc import Sequence

from jobs import cli
from model.errors import UsageError
from pipelines import storage
from pipelines.scoring.options import ScoreOptions


def job(options: ScoreOptions) -> None:
    """Score and print lines or a summary."""
    partitioning = options.data_set.partitioning  # first: a bad one is refused before anything
    if options.output is None:
        print_images(options)
        return
    if options.draw is not None:
        raise UsageError("`draw` is for one printed image: leave `output` out")
    # Imported here: a single image shall not wait for Ray and pandas.
    from pipelines.cluster.session import start_ray
    from pipelines.predictions.dataset import write_dataset
    from pipelines.scoring import summaries
    from pipelines.scoring.job import prepare
    from pipelines.scoring.plan import new_version, plan
    from pipelines.scoring.run import score

    prepared = prepare(options)
    if options.bundle is None:
        print(f"using the shipped bundle {prepared.bundle.name} ({prepared.bundle.id})", flush=True)
    prepared.source.require_readable(prepared.output)
    if options.on_existing == "new":
        prepared = new_version(prepared)
    if options.dry_run:
        cli.print_table(*summaries.of_plan(plan(prepared)))
        return
    storage.require_writable(prepared.output, "`output`")
    start_ray()
    cli.print_table(*summaries.of_run(score(prepared), prepared))
    if partitioning is not None:
        record = write_dataset(prepared.output, partitioning)
        cli.print_table(*summaries.of_data_set(record, partitioning, prepared.output))


def print_images(options: ScoreOptions) -> None:
    """Print the predictions for a few images."""
    from pipelines.bundles.opening import open_bundle
    from pipelines.scoring.printing import predicted_lines

    if options.manifest is not None or options.data_set.partitioning is not None:
        raise UsageError("`output` is missing: give a folder or a prefix (s3://, gs://, az://)")
    bundle = open_bundle(options.bundle)
    if options.bundle is None:
        print(f"using the shipped bundle {bundle.name} ({bundle.id})", flush=True)
    for line in predicted_lines(options, bundle):
        print(line)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(ScoreOptions, job, argv)


if __name__ == "__main__":
    main()
