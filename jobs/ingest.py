"""Images -> manifest: `python -m jobs.ingest --images FOLDER|s3://…|X.tar --output URI`.

Leaves below --output: manifest/*.parquet (one row an image, with labels, duplicate group and
split), rejects/*.parquet (every file that is not an image with a label, and why) and, last,
manifest.json (counts, fingerprint). The same command again refreshes it; no image changes split.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

import tyro

from jobs import cli
from model.errors import UsageError
from pipelines import storage
from pipelines.manifests.ingest import IngestOptions, ingest, require_own, write_ingested
from pipelines.manifests.manifest import SplitRule
from pipelines.storage import listing


@dataclasses.dataclass(frozen=True)
class IngestConfig:
    """Arguments of `jobs.ingest`."""

    images: str
    """Folder, s3://bucket/prefix or uncompressed .tar of images."""
    output: str
    """Folder or s3:// prefix for the manifest."""
    labels: str = "auto"
    """auto (UTKFace names if most files have them), utkface, none, or a .csv or .parquet with
    columns path, age (years), gender (male/female or 0/1) and optionally race."""
    hash: Literal["content", "etag"] = "content"
    """content reads every byte (finds duplicates); etag reads none."""
    split: Annotated[str, tyro.conf.arg(metavar="TRAIN,VAL,TEST")] = "0.6,0.2,0.2"
    """Shares of train, val and test; a function of each image's content."""
    split_seed: int = 0
    """Another seed gives other splits."""
    split_column: str | None = None
    """Column of the labels file that already says train, val or test."""


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--split {text}: give three shares such as 0.6,0.2,0.2") from None
    return train, val, test


def job(config: IngestConfig) -> None:
    """Ingest and print a summary."""
    images, output = storage.normalize(config.images), storage.normalize(config.output)
    options = IngestOptions(
        images=images,
        labels=config.labels,
        hash=config.hash,
        split=SplitRule(_fractions(config.split), config.split_seed),
        split_column=config.split_column,
    )
    storage.require_readable(images, "--images")
    listing.require_apart(images, output)
    storage.require_writable(output, "--output")
    require_own(options, output)
    cli.start_ray()
    result = ingest(options)
    record = write_ingested(result, options, output)
    splits = ", ".join(f"{name} {count:,}" for name, count in record["splits"].items())
    cli.print_table(
        f"ingested {images}",
        [
            (
                "files",
                f"{record['files']:,} = {record['manifest']:,} manifest "
                f"+ {record['rejects']:,} rejects",
            ),
            ("splits", splits),
            (
                "duplicates",
                f"{record['duplicate_groups']:,} groups of {record['duplicate_files']:,} files, "
                f"{record['conflicting_groups']:,} groups with contradicting labels",
            ),
            *(("note", note) for note in result.notes),
            ("output", output),
            ("next", f"python -m jobs.train --manifest {output} --output runs/train"),
        ],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(IngestConfig, job, argv)


if __name__ == "__main__":
    main()
