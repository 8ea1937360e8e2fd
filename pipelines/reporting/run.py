"""Predictions -> the page and its figures as files; a bundle -> its model card."""

from model.errors import UsageError
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.predictions import prediction_files
from pipelines.reporting.contact_sheet import sheets
from pipelines.reporting.figures import as_json, collect
from pipelines.reporting.headline import tiles, warnings
from pipelines.reporting.label_issues import write_page as write_label_issues
from pipelines.reporting.model_card import write_card
from pipelines.reporting.options import CardOptions, LabelIssuesOptions, ReportOptions
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
    output = _page(options.output, "report.html")
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


def label_issues(options: LabelIssuesOptions) -> list[tuple[str, object]]:
    """Write the page of labels that may be wrong.

    Returns:
        What stands on top of it, rows of name and value; the last is where the page is.

    Raises:
        UsageError: the run was no cross-validation, or is not done.
    """
    output = _page(options.output, "label_issues.html")
    return write_label_issues(options.run, output, options.show_faces)


def _page(uri: str, name: str) -> str:
    """The file of a page; a folder gets it by its usual name, as other jobs take folders."""
    output = storage.normalize(uri)
    return output if output.endswith((".html", ".htm")) else storage.join(output, name)


def card(options: CardOptions) -> list[str]:
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
        asked = ReportOptions(options.predictions, options.labels, split=options.split)
        figures = collect(asked)
        if bundle.id not in figures["bundles"]:
            raise UsageError(
                f"`predictions` {options.predictions} were made by "
                f"{', '.join(figures['bundles'])}, not by bundle {bundle.id}"
            )
    return write_card(bundle, folder, figures)
