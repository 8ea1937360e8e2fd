"""Predictions -> the page of a report, and its figures as files."""

from pipelines import storage
from pipelines.predictions import prediction_files
from pipelines.reporting.contact_sheet import sheets
from pipelines.reporting.figures import as_json, collect
from pipelines.reporting.headline import tiles, warnings
from pipelines.reporting.options import ReportOptions
from pipelines.reporting.page import as_table, file_of, render
from pipelines.storage import tables
from pipelines.telemetry.phases import phase


def report(options: ReportOptions) -> list[tuple[str, object]]:
    """Write the page and what is asked for beside it.

    Returns:
        What stands on top of it, rows of name and value; the last is where the page is.

    Raises:
        UsageError: there are no predictions, or nothing to report of them.
    """
    output = file_of(options.output, "report.html")
    predictions = options.require_predictions()
    figures = collect(options)
    source = prediction_files.find_predictions(predictions)
    with phase("write"):
        shown = sheets(source, options.labels, options.split) if options.show_faces else ()
        storage.write_bytes(output, render(figures, shown).encode())
        for uri in map(storage.normalize, options.data):
            if uri.endswith(".json"):
                tables.write_json(uri, as_json(figures))
            else:
                tables.write_table(uri, as_table(figures))
    return [
        *((name, f"{value}  {says}".rstrip()) for name, value, says in tiles(figures)),
        *(("note", text) for text in warnings(figures)),
        ("output", output),
    ]
