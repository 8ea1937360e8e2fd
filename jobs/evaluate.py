"""Metrics of a bundle: `python -m jobs.evaluate --bundle URI --manifest URI --split test …`.

Leaves below --output: metrics.json (each figure with its bootstrap 95 % interval),
evaluation.parquet (one row an image: prediction, label, error) and the predictions themselves.
`--images FOLDER` with UTKFace names works without a manifest.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from jobs import cli
from model.calibration import Reading, chosen_bins
from model.errors import UsageError
from model.views import Views, require_crop
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.manifests import manifest
from pipelines.manifests.ingest import IngestOptions, ingest
from pipelines.scoring.claim import ScoreOptions
from pipelines.scoring.evaluation import evaluate


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Arguments of `jobs.evaluate`."""

    output: str
    """Folder or s3:// prefix for metrics and predictions."""
    bundle: str | None = None
    """Bundle folder or s3:// prefix; default: the newest shipped one."""
    manifest: str | None = None
    """Output of jobs.ingest, or a labelled Parquet."""
    images: str | None = None
    """Instead of a manifest: a folder, prefix or tar of images with UTKFace names, all used."""
    split: Literal["train", "val", "test", "all"] = "test"
    """Which split of the manifest."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's body."""
    age_bins: Literal["auto", "decades", "adience"] = "auto"
    """Age groups 0-10, 11-20, … or the eight Adience classes; auto: those of the network's own
    age-group head, else decades."""
    views: Views = 1
    """Views of each image whose outputs are averaged: 2, with its mirror image; 10, five crops and
    their mirror images, for networks that crop."""


PERCENT = {"age_within_5", "gender_accuracy", "age_group_exact", "age_group_one_off"}
NAMES = {
    "age_mae": "age MAE, years",
    "age_rmse": "age RMSE, years",
    "age_bias": "age bias, years",
    "age_within_5": "age within 5 years",
    "age_group_exact": "age group exact",
    "age_group_one_off": "... or the next one",
    "gender_accuracy": "gender accuracy",
    "gender_auc": "gender AUC",
}


def job(config: EvaluateConfig) -> None:
    """Evaluate and print the metrics."""
    if (config.manifest is None) == (config.images is None):
        raise UsageError("give either --manifest or --images")
    output = storage.normalize(config.output)
    bundle = open_bundle(config.bundle)
    require_crop(bundle, config.views)
    reading = Reading(age_bins=chosen_bins(config.age_bins, bundle.heads))
    if config.manifest is not None:
        source = storage.normalize(config.manifest)
        table = manifest.read_manifest(source, ["uri", "age_years", "gender", "split"])
        rows = manifest.labelled(table, None if config.split == "all" else config.split)
        storage.require_writable(output, "--output")
        cli.start_ray()
    else:
        source = storage.normalize(str(config.images))
        storage.require_readable(source, "--images")
        storage.require_writable(output, "--output")
        cli.start_ray()
        rows = manifest.labelled(ingest(IngestOptions(source, labels="utkface")).table, None)
    options = ScoreOptions(
        source, "table", output, config.precision, reading=reading, views=config.views
    )
    result = evaluate(bundle, rows, options)
    record = result.scored.record
    figures = [
        (title, value.text(4 if name == "gender_auc" else 2, percent=name in PERCENT))
        for name, title in NAMES.items()
        if (value := result.metrics.get(name))
    ]
    cli.print_table(
        f"evaluated {bundle.name} ({bundle.id})",
        [
            ("images", f"{record['scored']:,} scored, {record['quarantined']:,} quarantined"),
            *figures,
            ("", "in brackets: bootstrap 95 % interval"),
            ("output", output),
            ("next", "python -m jobs.score --images FOLDER --output runs/score"),
        ],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(EvaluateConfig, job, argv)


if __name__ == "__main__":
    main()
