"""The page: figures -> one HTML file that needs no network, and the same figures as a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from model.errors import UsageError
from pipelines import storage
from pipelines.reporting import headline, sections
from pipelines.reporting.contact_sheet import Sheet
from pipelines.reporting.summary import MISSING_PACKAGES
from pipelines.storage import tables

FIGURES_SCHEMA = pa.schema(
    [
        tables.field("section", pa.string(), "section of the report"),
        tables.field("figure", pa.string(), "title of the chart or table"),
        tables.field("row", pa.int32(), "its row, from 0"),
        tables.field("column", pa.string(), "its column"),
        tables.field("value", pa.string(), "what the report shows there"),
    ]
)


def file_of(uri: str, name: str) -> str:
    """The file of a page; a folder gets it by its usual name, as other jobs take folders."""
    output = storage.normalize(uri)
    return output if output.endswith((".html", ".htm")) else storage.join(output, name)


def render(figures: Mapping[str, Any], sheets: Sequence[Sheet] = ()) -> str:
    """The report as one HTML text.

    Args:
        figures: of `figures.collect`.
        sheets: of the contact sheet; none unless asked for.
    """
    bundle = figures["run"].get("bundle") or "predictions"
    return render_page(
        title=headline.title(figures),
        subtitle=f"Scored by {bundle} ({', '.join(figures['bundles'])}). {figures['predictions']}",
        tiles=headline.tiles(figures),
        warnings=headline.warnings(figures),
        sections=sections.sections(figures),
        sheets=sheets,
        made_at=figures["made_at"],
    )


def render_page(**values: Any) -> str:
    """Fill page.html.j2, all text escaped.

    Raises:
        UsageError: jinja2 is not installed.
    """
    try:
        import jinja2
        import markupsafe
    except ImportError:
        raise UsageError(MISSING_PACKAGES) from None
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined
    )
    css = markupsafe.Markup((folder / "page.css").read_text())
    return environment.get_template("page.html.j2").render(css=css, **{"sheets": (), **values})


def as_table(figures: Mapping[str, Any]) -> pa.Table:
    """Every number that the page shows, as rows of `FIGURES_SCHEMA`."""
    rows: list[dict[str, Any]] = []
    for section in sections.sections(figures):
        for part in (*section.charts, *section.tables):
            for index, row in enumerate(part.rows):
                rows += [
                    {"section": section.key, "figure": part.title, "row": index}
                    | {"column": column, "value": str(value)}
                    for column, value in zip(part.columns, row, strict=True)
                ]
    return pa.Table.from_pylist(rows, schema=FIGURES_SCHEMA)
