"""Images -> Parquet predictions: `python -m jobs.score --images URI --output URI`.

Leaves below --output: predictions/*.parquet (one row an image), quarantine/*.parquet (one row an
input that could not be scored, and why), inputs/ (the frozen list) and, last, run.json. Killed?
The same command continues. `--images one.jpg` without --output prints one line a picture.
"""

import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from jobs import cli
from model.bundle import Bundle
from model.calibration import DEFAULT_COVERAGE, Reading, chosen_bins
from model.errors import UsageError
from model.views import Views, require_crop
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.storage import listing

# Imported where they are needed: a single picture shall not wait for Ray and pandas.
if TYPE_CHECKING:
    from pipelines.predictions.dataset import Partitioning
    from pipelines.scoring.claim import ScoreOptions
    from pipelines.scoring.run import Scored


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """Arguments of `jobs.score`."""

    images: tuple[str, ...] = ()
    """Folder, s3://bucket/prefix or .tar of images; or a few picture files."""
    manifest: str | None = None
    """Instead of images: output of jobs.ingest, a Parquet with a uri column, or the manifest.json
    of an Amazon S3 Inventory in Parquet."""
    bundle: str | None = None
    """Bundle folder or s3:// prefix; default: the newest shipped one."""
    output: str | None = None
    """Folder or s3:// prefix; may be left out for a few pictures, which are then printed."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the network's body; auto: bfloat16 where the CPU has it in hardware, else float32."""
    shard_rows: int | None = None
    """Images an output file and unit of resuming; default: from 512, growing to 50,000."""
    coverage: float = DEFAULT_COVERAGE
    """Share of people whose age the interval shall hold, 0.5-0.99."""
    age_bins: Literal["auto", "decades", "adience"] = "auto"
    """Binning of age_group: 0-10, 11-20, … or the eight Adience classes; auto: that of the
    network's own age-group head, else decades."""
    views: Views = 1
    """Views of each image whose outputs are averaged: 2, with its mirror image, at half the speed;
    10, five crops and their mirror images, for networks that crop."""
    max_quarantine: str | None = None
    """Stop early, resumably, where more than this share of inputs is bad, e.g. 5%."""
    workers: int | None = None
    """At most so many, a core or a GPU each; default: all of the cluster."""
    plan: Literal["auto", "fused", "separate"] = "auto"
    """fused: all stages of a shard in one process a core; separate: decoding on CPUs apart from the
    network; auto: separate where the cluster has GPUs."""
    use_gpu: bool = False
    """Run the network on GPUs, one a worker, even if an autoscaling cluster has none yet."""
    image_timeout_s: float = 30.0
    """An image that takes longer to decode goes to quarantine."""
    incremental: bool = False
    """The source has grown: list it again, score what is new or changed, report what is gone."""
    dry_run: bool = False
    """Say what would be done; start and write nothing."""
    new_version: bool = False
    """Where --output holds another run, write beside it: to OUTPUT/v2, OUTPUT/v3, …"""
    compact: bool = False
    """At the end lay the predictions out once more below OUTPUT/dataset, in files of 128 MB."""
    partition_by: str | None = None
    """As --compact, in Hive folders of these columns: gender, age_group or gender,age_group."""
    partition_regex: str | None = None
    """As --compact, in a Hive folder for each named group found in the uri, for example
    '/(?P<camera>[^/]+)/[^/]+$'."""


def job(config: ScoreConfig) -> None:
    """Score and print lines or a summary."""
    if bool(config.images) == (config.manifest is not None):
        raise UsageError("give either --images or --manifest")
    share = _share(config.max_quarantine)
    layout = _layout(config)
    bundle = open_bundle(config.bundle)
    require_crop(bundle, config.views)
    reading = Reading(config.coverage, chosen_bins(config.age_bins, bundle.heads))
    if config.bundle is None:
        print(f"using the shipped bundle {bundle.name} ({bundle.id})", flush=True)
    if config.output is None:
        if config.manifest is not None:
            raise UsageError("--output is missing: give a folder or an s3:// prefix")
        if layout is not None:
            raise UsageError("--compact and --partition-… lay out a data set: give --output too")
        _print_pictures(config, bundle)
        return
    from pipelines.scoring.claim import ScoreOptions, new_version

    kind = "images" if config.images else "manifest"
    source, output = _places(config, kind)
    options = ScoreOptions(
        source, kind, output, config.precision, config.shard_rows, reading, share,
        config.image_timeout_s, workers=config.workers, incremental=config.incremental,
        plan=config.plan, use_gpu=config.use_gpu, views=config.views,
    )  # fmt: skip
    if config.new_version:
        options = new_version(options, bundle)
    if config.dry_run:
        _print_plan(options, bundle)
        return
    storage.require_writable(options.output, "--output")
    from pipelines.scoring.run import score

    cli.start_ray()
    result = score(options, bundle)
    print_summary(result, bundle, options.output)
    if layout is not None:
        _lay_out(options.output, layout)


def _layout(config: ScoreConfig) -> "Partitioning | None":
    """What --compact, --partition-by and --partition-regex ask for."""
    if not (config.compact or config.partition_by or config.partition_regex):
        return None
    from pipelines.predictions.dataset import Partitioning

    by = tuple(filter(None, (config.partition_by or "").split(",")))
    return Partitioning(by, config.partition_regex)


def _lay_out(output: str, layout: "Partitioning") -> None:
    from pipelines.predictions.dataset import describe, write_dataset

    record = write_dataset(output, layout)
    rows = [("rows", f"{record['rows']:,} in {describe(record)}")]
    if layout.levels:
        rows.append(("partitions", ", ".join(layout.levels)))
    cli.print_table("data set", [*rows, ("output", storage.join(output, "dataset"))])


def _places(config: ScoreConfig, kind: str) -> tuple[str, str]:
    """The normalized source and output, checked."""
    if len(config.images) > 1:
        raise UsageError(
            f"--images names {len(config.images)} places: with --output give one folder, prefix "
            "or tar (leave --output out to print a few pictures)"
        )
    if config.shard_rows is not None and config.shard_rows < 1:
        raise UsageError(f"--shard-rows {config.shard_rows} must be at least 1")
    if config.workers is not None and config.workers < 1:
        raise UsageError(f"--workers {config.workers} must be at least 1")
    if config.image_timeout_s <= 0:
        raise UsageError(f"--image-timeout-s {config.image_timeout_s:g} must be above 0")
    source = storage.normalize(config.images[0] if config.images else str(config.manifest))
    output = storage.normalize(str(config.output))
    storage.require_readable(source, f"--{kind}")
    if kind == "images":
        listing.require_apart(source, output)
    return source, output


def _share(text: str | None) -> float | None:
    """`5%` or `0.05` as a share."""
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise UsageError(f"--max-quarantine {text} must be a share, such as 5% or 0.05")
    return share


def _print_plan(options: "ScoreOptions", bundle: Bundle) -> None:
    from pipelines.scoring.dry_run import plan

    found = plan(options, bundle)
    more = "" if found.inputs_exact else "more than "
    cli.print_table(
        "dry run: nothing was started or written",
        [
            ("state", found.state),
            ("inputs", f"{more}{found.inputs:,}, {found.pending_inputs:,} to score"),
            ("shards", f"{more}{found.shards:,}, {found.pending_shards:,} to score"),
            ("bundle", f"{bundle.name} ({bundle.id})"),
            ("precision", found.precision),
            (
                "plan",
                options.plan if options.plan != "auto" else "fused; separate where there are GPUs",
            ),
            ("output", options.output),
        ],
    )


def _print_pictures(config: ScoreConfig, bundle: Bundle) -> None:
    pictures = [storage.normalize(uri) for uri in config.images]
    for picture in pictures:
        storage.require_readable(picture, "--images")
        if listing.is_folder(picture) or picture.endswith(".tar"):
            raise UsageError(f"--images {picture} is a folder: give --output for its predictions")
    started = time.monotonic()
    from pipelines.scoring.rows import import_network_libraries, score_pictures

    import_network_libraries()
    imports_s = time.monotonic() - started
    # float32: no slower for a few pictures, and it needs no second look at the CPU.
    precision = "float32" if config.precision == "auto" else config.precision
    for line in score_pictures(pictures, bundle, precision, config.views):
        print(line)
    seconds = time.monotonic() - started
    print(f"answered in {seconds:.1f} s, {imports_s:.1f} s of them imports", file=sys.stderr)


def print_summary(result: "Scored", bundle: Bundle, output: str) -> None:
    """What was scored, how fast, where it is."""
    record, now = result.record, result.record["inputs"] - result.skipped
    speed, rate = record.get("images_per_s"), ""
    if now and speed:
        rate = f", {record['start_up_s']:,.1f} s of them start-up, then {speed:,.0f} images/s"
    skipped = f"; {result.skipped:,} were there already" if result.skipped else ""
    rows = "predictions" if record["scored"] else "quarantine"
    reasons = ", ".join(f"{n:,} {r}" for r, n in record["quarantine_reasons"].items())
    cli.print_table(
        f"scored with {bundle.name} ({bundle.id})",
        [
            ("inputs", f"{record['inputs']:,}{skipped}"),
            ("precision", record["precision"]),
            *_grown(result),
            ("scored", f"{record['scored']:,}"),
            ("quarantined", f"{record['quarantined']:,}" + (f" ({reasons})" if reasons else "")),
            ("time", f"{result.seconds:,.1f} s{rate}"),
            ("output", output),
            (
                "next",
                f"python -c \"import pandas; print(pandas.read_parquet('{output}/{rows}'))\"",
            ),
            ("please note", "estimates, not for age gating, identity or decisions about people"),
        ],
    )


def _grown(result: "Scored") -> list[tuple[str, str]]:
    if result.growth is None:
        return []
    found = result.growth
    gone = f"{found.deleted:,} gone" + (" (deleted.parquet)" if found.deleted else "")
    return [("since then", f"{found.added:,} new, {found.changed:,} changed, {gone}")]


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(ScoreConfig, job, argv)


if __name__ == "__main__":
    main()
