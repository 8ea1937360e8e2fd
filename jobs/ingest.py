"""Images -> manifest: `python -m jobs.ingest --images FOLDER|s3://…|X.zip|X.parquet --output URI`.

Writes below --output: manifest/*.parquet (one row per image, with labels, duplicate group and
split), rejects/*.parquet (every file that is not an image with a label, and why) and, last,
manifest.json (counts, fingerprint). The same command again refreshes it; no image changes split.
"""

from collections.abc import Sequence

from jobs import cli
from model.errors import UsageError
from pipelines import storage
from pipelines.cluster.session import start_ray
from pipelines.manifests.options import IngestOptions


def job(options: IngestOptions) -> None:
    """Ingest and print a summary."""
    from pipelines.manifests.ingest import ingest_to, require_own, summary
    from pipelines.manifests.labels.joining import read_given
    from pipelines.storage import listing

    if not options.output:
        raise UsageError("`output` is missing: give a folder or a prefix (s3://, gs://, az://)")
    output = storage.normalize(options.output)
    storage.require_readable(options.place, "`images`")
    listing.require_apart(options.place, output)
    require_own(options, output)
    given = read_given(options)
    storage.require_writable(output, "`output`")
    start_ray()
    record = ingest_to(options, output, given)
    next_step = ("next", cli.command("train", manifest=output, output="runs/train"))
    cli.print_table(f"ingested {options.place}", [*summary(record, output), next_step])


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(IngestOptions, job, argv)


if __name__ == "__main__":
    main()
