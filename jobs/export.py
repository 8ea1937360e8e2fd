"""Bundle -> another format: `python -m jobs.export --bundle URI --format onnx --output URI`.

Writes to --output network.onnx, or a TensorFlow SavedModel (saved_model.pb, variables/), with
bundle.json and export.json, which names the largest difference to the bundle's own outputs. The
input is uint8 pixels as model/preprocessing.py makes them; scaling is inside the network.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from jobs import cli
from model.errors import UsageError
from pipelines import storage
from pipelines.bundles.exporting import export
from pipelines.bundles.opening import open_bundle


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What to export, and how."""

    output: str
    """Folder or prefix (s3://, gs://, az://) for the export."""
    bundle: str | None = None
    """Folder or prefix of a bundle; default: the newest shipped one."""
    format: Literal["savedmodel", "onnx"] = "onnx"
    """onnx (needs onnx, tf2onnx and onnxruntime), or savedmodel for TensorFlow Serving."""
    opset: int = 17
    """ONNX operator set, 13 to 18."""


def job(options: ExportOptions) -> None:
    """Export and print how near it is."""
    if not 13 <= options.opset <= 18:
        raise UsageError(f"--opset {options.opset} must be between 13 and 18 (tf2onnx's newest)")
    output = storage.normalize(options.output)
    bundle = open_bundle(options.bundle)
    storage.require_writable(output, "`output`")
    exported = export(bundle, options.format, output, options.opset)
    rows = [
        (f"max |difference|, {name}", f"{value:.2g}")
        for name, value in exported.max_difference.items()
    ]
    cli.print_table(
        f"exported {bundle.name} ({bundle.id}) as {options.format}",
        [
            *rows,
            *([("opset", exported.opset)] if exported.opset else []),
            ("input", f"uint8 {('batch', *bundle.input.shape)}".replace("'", "")),
            ("written", output),
        ],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(ExportOptions, job, argv)


if __name__ == "__main__":
    main()
