"""Images -> Parquet predictions: `python -m jobs.score --images URI --output URI`.

Leaves below --output: predictions/*.parquet (one row an image), quarantine/*.parquet (one row an
input that could not be scored, and why), inputs/ (the frozen list) and, last, run.json. Killed?
The same command continues. `--images one.jpg` without --output prints one line a picture.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from jobs import cli
from model.bundle import Bundle
from model.calibration import DEFAULT_COVERAGE, Reading
from model.errors import UsageError
from pipelines import listing, storage
from pipelines.bundles import open_bundle
from pipelines.rows import score_pictures
from pipelines.scoring import Scored, ScoreOptions, score


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """Arguments of `jobs.score`."""

    images: tuple[str, ...] = ()
    """Folder, s3://bucket/prefix or .tar of images; or a few picture files."""
    manifest: str | None = None
    """Instead of images: output of jobs.ingest, or a Parquet with a uri column."""
    bundle: str | None = None
    """Bundle folder or s3:// prefix; default: the newest shipped one."""
    output: str | None = None
    """Folder or s3:// prefix; may be left out for a few pictures, which are then printed."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's body; bfloat16 is faster where the CPU or GPU has it."""
    shard_rows: int | None = None
    """Images an output file and unit of resuming; default: from 512, growing to 50,000."""
    coverage: float = DEFAULT_COVERAGE
    """Share of people whose age the interval shall hold, 0.5-0.99."""
    age_bins: Literal["decades", "adience"] = "decades"
    """Binning of age_group: 0-10, 11-20, … or the eight Adience classes."""


def job(config: ScoreConfig) -> None:
    """Score and print lines or a summary."""
    if bool(config.images) == (config.manifest is not None):
        raise UsageError("give either --images or --manifest")
    reading = Reading(config.coverage, config.age_bins)
    bundle = open_bundle(config.bundle)
    if config.bundle is None:
        print(f"using the shipped bundle {bundle.name} ({bundle.id})")
    if config.output is None:
        if config.manifest is not None:
            raise UsageError("--output is missing: give a folder or an s3:// prefix")
        _print_pictures(config, bundle)
        return
    if len(config.images) > 1:
        raise UsageError(
            f"--images names {len(config.images)} places: with --output give one folder, prefix "
            "or tar (leave --output out to print a few pictures)"
        )
    if config.shard_rows is not None and config.shard_rows < 1:
        raise UsageError(f"--shard-rows {config.shard_rows} must be at least 1")
    kind = "images" if config.images else "manifest"
    source = storage.normalize(config.images[0] if config.images else str(config.manifest))
    output = storage.normalize(config.output)
    storage.require_readable(source, f"--{kind}")
    storage.require_writable(output, "--output")
    cli.start_ray()
    options = ScoreOptions(source, kind, output, config.precision, config.shard_rows, reading)
    result = score(options, bundle)
    print_summary(result, bundle, output)


def _print_pictures(config: ScoreConfig, bundle: Bundle) -> None:
    pictures = [storage.normalize(uri) for uri in config.images]
    for picture in pictures:
        storage.require_readable(picture, "--images")
        if listing.is_folder(picture) or picture.endswith(".tar"):
            raise UsageError(f"--images {picture} is a folder: give --output for its predictions")
    for line in score_pictures(pictures, bundle, config.precision):
        print(line)


def print_summary(result: Scored, bundle: Bundle, output: str) -> None:
    """What was scored, how fast, where it is."""
    record, now = result.record, result.record["inputs"] - result.skipped
    rate = f", {now / result.seconds:,.0f} images/s" if now else ""
    skipped = f"; {result.skipped:,} were there already" if result.skipped else ""
    reasons = ", ".join(f"{n:,} {r}" for r, n in record["quarantine_reasons"].items())
    cli.print_table(
        f"scored with {bundle.name} ({bundle.id})",
        [
            ("inputs", f"{record['inputs']:,}{skipped}"),
            ("scored", f"{record['scored']:,}"),
            ("quarantined", f"{record['quarantined']:,}" + (f" ({reasons})" if reasons else "")),
            ("time", f"{result.seconds:,.1f} s with start-up{rate}"),
            ("output", output),
            (
                "next",
                f"python -c \"import pandas; print(pandas.read_parquet('{output}/predictions'))\"",
            ),
            ("please note", "estimates, not for age gating, identity or decisions about people"),
        ],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(ScoreConfig, job, argv)


if __name__ == "__main__":
    main()
