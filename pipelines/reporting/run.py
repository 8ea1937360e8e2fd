"""Predictions -> the page and its figures as files; a bundle -> its model card."""

from model.errors import UsageError
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.predictions import prediction_files
from pipelines.reporting import suspects
from pipelines.reporting.contact_sheet import sheets
from pipelines.reporting.figures import as_json, collect
from pipelines.reporting.headline import tiles, warnings
from pipelines.reporting.model_card import write_card
from pipelines.reporting.options import ReportOptions
from pipelines.reporting.page import as_table, render
from pipelines.storage import tables
from pipelines.telemetry.phases import phase


def report(options: ReportOptions) -> list[tuple[str, object]]:
    """Write the page and what is asked for beside it.

    Returns:
        What stands on top of it, rows of name and value; the last is where the page is.

    Raises:
        UsageError: there are no predictions, or nothing to report of them.
    """
    output = storage.normalize(options.output)
    if not output.endswith((".html", ".htm")):
        output = storage.join(output, "report.html")  # a folder, as other jobs take
    if options.suspects is not None:
        return [*suspects.write_page(options.suspects, output, options.show_faces)]
    predictions = options.require_predictions()
    figures = collect(options)
    source = prediction_files.find_predictions(predictions)
    with phase("write"):
        shown = sheets(source, options.labels, options.split) if options.show_faces else ()
        storage.write_bytes(output, render(figures, shown).encode())
        if options.json is not None:
            tables.write_json(storage.normalize(options.json), as_json(figures))
        if options.parquet is not None:
            tables.write_table(storage.normalize(options.parquet), as_table(figures))
    return [
        *((name, f"{value}  {says}".rstrip()) for name, value, says in tiles(figures)),
        *(("note", text) for text in warnings(figures)),
        ("output", output),
    ]


def card(options: ReportOptions) -> list[str]:
    """Write a bundle's card, with a table of subgroups where there are predictions with labels.

    Returns:
        URIs of its files.

    Raises:
        UsageError: the predictions are another bundle's.
    """
    output = storage.normalize(options.output)
    folder = output.rsplit("/", 1)[0] if output.endswith(".html") else output
    bundle = open_bundle(options.bundle)
    figures = None
    if options.predictions is not None:
        figures = collect(options)
        if bundle.id not in figures["bundles"]:
            raise UsageError(
                f"`predictions` {options.predictions} were made by "
                f"{', '.join(figures['bundles'])}, not by bundle {bundle.id}"
            )
    return write_card(bundle, folder, figures)
