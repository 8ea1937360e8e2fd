"""The options of reports, model cards and pages of label issues, declared once."""

import dataclasses
from typing import Annotated, ClassVar

from model.errors import UsageError
from pipelines.configuration import ADVANCED, Renamed


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """What to report on, and where to."""

    RENAMED: ClassVar = (
        Renamed(
            ("json", "parquet"),
            "data",
            lambda json=None, parquet=None: [uri for uri in (json, parquet) if uri],
        ),
    )

    predictions: Annotated[str | None, "URI"] = None
    """Output of jobs.score or jobs.evaluate, or any of its prediction files."""
    labels: Annotated[str | None, "URI"] = None
    """Manifest, or a .csv with path, age, gender and optionally race and face boxes."""
    output: Annotated[str, "URI"] = "report.html"
    """The HTML file, or a folder for report.html, local or s3://."""
    split: str | None = None
    """Use only the labels of this split of the manifest; default: of all splits."""
    reference: Annotated[str | None, "URI"] = None
    """Other predictions to measure drift against; default: the bundle's training profile."""
    by: Annotated[str | None, "REGEX"] = None
    """Add a table by the first group of this regular expression in each uri; by folder:
    '/([^/]+)/[^/]+$'."""
    show_faces: bool = False
    """Add a contact sheet of faces. They are personal data: mind who gets the file."""
    data: Annotated[tuple[str, ...], "URI ..."] = ()
    """Also write the figures to a .json, or every number shown to a .parquet."""
    allow_mixed: Annotated[bool, ADVANCED] = False
    """Allow rows of several bundles in one report, which then says so."""

    def __post_init__(self) -> None:
        """Check the files for figures.

        Raises:
            UsageError: one is neither JSON nor Parquet.
        """
        for uri in self.data:
            if not uri.endswith((".json", ".parquet")):
                raise UsageError(f"`data` {uri}: give a file that ends in .json or .parquet")

    def require_predictions(self) -> str:
        """The predictions.

        Raises:
            UsageError: they are missing.
        """
        if self.predictions is None:
            raise UsageError("`predictions` is missing: give the `output` of jobs.score")
        return self.predictions


@dataclasses.dataclass(frozen=True)
class CardOptions:
    """Whose card to write, and where to."""

    bundle: Annotated[str | None, "URI"] = None
    """Folder or prefix of a bundle; default: the newest shipped one."""
    output: Annotated[str, "URI"] = "."
    """Folder or prefix for MODEL_CARD.md and MODEL_CARD.html."""
    predictions: Annotated[str | None, "URI"] = None
    """Output of jobs.score with this bundle: with `labels`, the card shows subgroups."""
    labels: Annotated[str | None, "URI"] = None
    """Labels of these predictions, as jobs.report takes them."""
    split: str | None = None
    """Use only the labels of this split of the manifest; default: of all splits."""


@dataclasses.dataclass(frozen=True)
class LabelIssuesOptions:
    """Which labels to check, and where to list them."""

    RENAMED: ClassVar = (Renamed(("suspects",), "run"),)

    run: Annotated[str, "URI"]
    """Output of jobs.cross_validate."""
    output: Annotated[str, "URI"] = "label_issues.html"
    """The HTML file, or a folder for it, local or s3://."""
    show_faces: bool = False
    """Show the faces of the first labels. They are personal data: mind who gets the file."""
