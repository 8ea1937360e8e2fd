"""Calibrate a bundle: `python -m jobs.calibrate --bundle URI --manifest URI --output URI`.

Leaves at --output a new bundle (another id) whose gender probabilities and age intervals were
fitted on the val split of the manifest that it was trained on, with the drift reference of its
inputs and the metrics that it has with them. jobs.train does the same at its end; this job is for
bundles without it.
"""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jobs import cli
from model.bundle import RECORD_FILE
from model.errors import UsageError
from pipelines import storage
from pipelines.bundles.calibrating import calibrate, check_manifest, summary
from pipelines.bundles.opening import copy_bundle, open_bundle
from pipelines.manifests.manifest import read_manifest
from pipelines.training.finishing import measured


@dataclasses.dataclass(frozen=True)
class CalibrateConfig:
    """Arguments of `jobs.calibrate`."""

    manifest: str
    """The manifest that the bundle was trained on; only its val split is fitted."""
    output: str
    """Folder or s3:// prefix for the new bundle."""
    bundle: str | None = None
    """Bundle folder or s3:// prefix; default: the newest shipped one."""
    other_manifest: bool = False
    """Take another manifest than the bundle was trained on."""


def job(config: CalibrateConfig) -> None:
    """Calibrate and print what was found."""
    output = storage.normalize(config.output)
    bundle = open_bundle(config.bundle)
    if storage.exists(storage.join(output, RECORD_FILE)):
        raise UsageError(f"--output {output} holds a bundle already: choose another")
    source = storage.normalize(config.manifest)
    storage.require_readable(source, "--manifest")
    table = read_manifest(source, ["uri", "age_years", "gender", "split"])
    if not config.other_manifest:
        check_manifest(bundle, table, source)
    storage.require_writable(output, "--output")
    cli.start_ray()
    with tempfile.TemporaryDirectory() as folder:
        made = calibrate(bundle, table, Path(folder) / "calibrated")
        if not any(made.record["calibration"].get(name) for name in ("gender", "age")):
            raise UsageError(
                f"--manifest {source} has too few labelled val images to fit anything: give one "
                "with more, or keep the calibration that the bundle has"
            )
        made = measured(made, table, Path(folder) / "measured")
        copy_bundle(made, output)
    cli.print_table(
        f"calibrated {bundle.name} ({bundle.id} is now {made.id})",
        [
            *summary(dict(made.record)),
            ("bundle", output),
            ("next", f"python -m jobs.score --images FOLDER --bundle {output} --output runs/score"),
        ],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(CalibrateConfig, job, argv)


if __name__ == "__main__":
    main()
