"""Images -> Parquet predictions: `python -m jobs.score --images URI --output URI`.

Leaves below --output: predictions/*.parquet (one row a face, or a picture), quarantine/*.parquet
(one row an input that has none, and why), inputs/ (the frozen list) and, last, run.json. Killed?
The same command continues. `--images one.jpg` without --output prints one line a face.
"""

from collections.abc import Sequence

from jobs import cli
from model.bundle import Bundle
from model.errors import UsageError
from model.heads import require_distribution
from model.views import require_crop
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.scoring.options import ScoreOptions


def job(options: ScoreOptions) -> None:
    """Score and print lines or a summary."""
    partitioning = (
        options.data_set.partitioning
    )  # first: a bad one is refused before anything is scored
    bundle = open_bundle(options.bundle)
    require_crop(bundle, options.network.tta)
    if options.bundle is None:
        print(f"using the shipped bundle {bundle.name} ({bundle.id})", flush=True)
    if options.output is None:
        print_pictures(options, bundle)
        return
    if options.draw is not None:
        raise UsageError("`draw` is for one picture in print: leave `output` out")
    if options.network.age_distribution:
        require_distribution(bundle.name, bundle.heads)
    # Imported here: a single picture shall not wait for Ray and pandas.
    from pipelines.cluster.session import start_ray
    from pipelines.manifests.sources import open_source
    from pipelines.predictions.dataset import write_dataset
    from pipelines.scoring import claim, summaries
    from pipelines.scoring.dry_run import plan
    from pipelines.scoring.run import score

    source = open_source(options.images, options.manifest, options.passed_through)
    source.require_readable(options.place)
    if options.on_existing == "new":
        options = claim.new_version(options, bundle, source)
    if options.dry_run:
        planned = claim.resolve(options, bundle, source)
        cli.print_table(*summaries.of_plan(plan(planned), planned))
        return
    storage.require_writable(options.place, "`output`")
    start_ray()
    cli.print_table(*summaries.of_run(score(options, bundle, source), bundle, options.place))
    if partitioning is not None:
        record = write_dataset(options.place, partitioning)
        cli.print_table(*summaries.of_data_set(record, partitioning, options.place))


def print_pictures(options: ScoreOptions, bundle: Bundle) -> None:
    """Answer a few pictures on stdout."""
    from pipelines.scoring.pictures import answer_pictures

    if options.manifest is not None or options.data_set.partitioning is not None:
        raise UsageError("`output` is missing: give a folder or a prefix (s3://, gs://, az://)")
    for line in answer_pictures(options, bundle):
        print(line)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(ScoreOptions, job, argv)


if __name__ == "__main__":
    main()
