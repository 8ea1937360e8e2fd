"""A report to look at: `python -m jobs.report --predictions URI --output report.html`.

Leaves one self-contained HTML file and, if asked for, the same figures as JSON and Parquet. With
--labels it measures quality and subgroups. `--bundle URI --card` writes the bundle's model card
(MODEL_CARD.md and .html) instead. No faces are shown unless --show-faces.
"""

import dataclasses
import time
from collections.abc import Sequence

from jobs import cli
from model.errors import UsageError
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.predictions import prediction_files
from pipelines.reporting.contact_sheet import faces
from pipelines.reporting.figures import ReportOptions, as_json, collect
from pipelines.reporting.model_card import write_card
from pipelines.reporting.page import as_table, render
from pipelines.reporting.sections import tiles, warnings
from pipelines.storage import tables
from pipelines.telemetry.phases import phase


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """Arguments of `jobs.report`."""

    output: str = "report.html"
    """The HTML file, or a folder for report.html, local or s3://; with --card the folder for
    MODEL_CARD.md and .html."""
    predictions: str | None = None
    """Output of jobs.score or jobs.evaluate, or any of its prediction files."""
    labels: str | None = None
    """Manifest, or a .csv with path, age, gender and maybe race."""
    split: str | None = None
    """Only the labels of this split of the manifest."""
    reference: str | None = None
    """Other predictions to measure drift against; default: the bundle's training profile."""
    by: str | None = None
    """Regular expression with a group, for a table by folder: '/([^/]+)/[^/]+$'."""
    allow_mixed: bool = False
    """Report on rows of several bundles together, and say so."""
    show_faces: bool = False
    """Add a contact sheet. Faces are personal data: mind who gets the file."""
    json: str | None = None
    """Also write the figures as JSON here."""
    parquet: str | None = None
    """Also write every number shown as Parquet here."""
    bundle: str | None = None
    """For --card: bundle folder or s3:// prefix; default: the newest shipped one."""
    card: bool = False
    """Write the bundle's model card; --predictions and --labels give it subgroups."""


def job(config: ReportConfig) -> None:
    """Write the report, or the card, and print what stands on top of it."""
    output = storage.normalize(config.output)
    if config.card:
        _card(config, output)
        return
    if config.predictions is None:
        raise UsageError("--predictions is missing: give jobs.score's --output (or --card)")
    if not output.endswith((".html", ".htm")):
        output = storage.join(output, "report.html")  # a folder, as other jobs take
    started = time.monotonic()
    figures = collect(_options(config, config.predictions))
    source = prediction_files.find_predictions(config.predictions)
    with phase("write"):
        shown = faces(source, config.labels, config.split) if config.show_faces else ()
        storage.write_bytes(output, render(figures, shown).encode())
        if config.json is not None:
            tables.write_json(storage.normalize(config.json), as_json(figures))
        if config.parquet is not None:
            tables.write_table(storage.normalize(config.parquet), as_table(figures))
    cli.print_table(
        f"reported in {time.monotonic() - started:,.1f} s",
        [
            *((name, f"{value}  {says}".rstrip()) for name, value, says in tiles(figures)),
            *(("note", text) for text in warnings(figures)),
            ("output", output),
            ("next", f"open {output} in a browser"),
        ],
    )


def _options(config: ReportConfig, predictions: str) -> ReportOptions:
    return ReportOptions(
        predictions, config.labels, config.split, config.reference, config.by, config.allow_mixed
    )


def _card(config: ReportConfig, output: str) -> None:
    """Write the card; with --predictions and --labels it gets the subgroup table."""
    folder = output.rsplit("/", 1)[0] if output.endswith(".html") else output
    bundle, figures = open_bundle(config.bundle), None
    if config.predictions is not None:
        figures = collect(_options(config, config.predictions))
        if bundle.id not in figures["bundles"]:
            raise UsageError(
                f"--predictions {config.predictions} were made by {', '.join(figures['bundles'])}, "
                f"not by bundle {bundle.id}"
            )
    written = write_card(bundle, folder, figures)
    cli.print_table("wrote the model card", [("file", uri) for uri in written])


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(ReportConfig, job, argv)


if __name__ == "__main__":
    main()
