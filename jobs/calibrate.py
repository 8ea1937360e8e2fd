"""Calibrate a bundle: `python -m jobs.calibrate --bundle URI --manifest URI --output URI`.

Writes to --output a new bundle (with another id) whose gender probabilities and age intervals are
fitted on the val split of the manifest that it was trained on. It also gets the drift reference of
its inputs, its metrics with that calibration, and its networks for OpenVINO. jobs.train does the
same at its end; this job is for bundles without it.
"""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from jobs import cli
from model.bundle import RECORD_FILE
from model.errors import UsageError
from pipelines import storage
from pipelines.cluster.session import start_ray
from pipelines.training.options import QUANTIZATION_RENAMED


@dataclasses.dataclass(frozen=True)
class CalibrateOptions:
    """What to calibrate, on what, where."""

    RENAMED: ClassVar = (QUANTIZATION_RENAMED,)

    manifest: str
    """The manifest that the bundle was trained on; only its val split is fitted."""
    output: str
    """Folder or prefix (s3://, gs://, az://) for the new bundle."""
    bundle: str | None = None
    """Folder or prefix of a bundle; default: the newest shipped one."""
    other_manifest: bool = False
    """Allow another manifest than the one that the bundle was trained on."""
    quantization: Literal["int8", "none"] = "int8"
    """int8: also make an int8 network, which scores twice as fast on CPUs with VNNI; it is kept if
    its predictions on val are as good."""


def job(options: CalibrateOptions) -> None:
    """Calibrate and print what was fitted."""
    from pipelines.bundles import calibrating, describe
    from pipelines.bundles.labelled_images import LabelledImages
    from pipelines.bundles.opening import copy_bundle, open_bundle
    from pipelines.manifests.manifest import read_manifest

    output = storage.normalize(options.output)
    bundle = open_bundle(options.bundle)
    if storage.exists(storage.join(output, RECORD_FILE)):
        raise UsageError(f"`output` {output} holds a bundle already: choose another")
    source = storage.normalize(options.manifest)
    storage.require_readable(source, "`manifest`")
    table = read_manifest(source, ["uri", "age_years", "gender", "split"])
    calibrating.require_unseen(bundle, table, source, options.other_manifest)
    storage.require_writable(output, "`output`")
    start_ray()
    with tempfile.TemporaryDirectory() as folder:
        images = LabelledImages(table, bundle.input)
        int8 = options.quantization == "int8"
        calibrated = calibrating.complete(bundle, images, Path(folder), int8)
        if not any(calibrated.record["calibration"].get(name) for name in ("gender", "age")):
            raise UsageError(
                f"`manifest` {source} has too few labelled val images to fit anything: give one "
                "with more, or keep the calibration that the bundle has"
            )
        copy_bundle(calibrated, output)
    cli.print_table(
        f"calibrated {bundle.name} ({bundle.id} is now {calibrated.id})",
        [
            *describe.calibration(dict(calibrated.record)),
            ("bundle", output),
            ("next", cli.command("score", images="FOLDER", bundle=output, output="runs/score")),
        ],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(CalibrateOptions, job, argv)


if __name__ == "__main__":
    main()
