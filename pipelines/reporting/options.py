"""The options of a report, declared once."""

import dataclasses
from typing import Annotated

from model.errors import UsageError


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """What to report on, and where to."""

    predictions: Annotated[str | None, "URI"] = None
    """Output of jobs.score or jobs.evaluate, or any of its prediction files."""
    labels: Annotated[str | None, "URI"] = None
    """Manifest, or a .csv with path, age, gender and maybe race; both maybe with boxes of faces."""
    output: Annotated[str, "URI"] = "report.html"
    """The HTML file, or a folder for report.html, local or s3://; with `card` the folder for
    MODEL_CARD.md and .html."""
    card: bool = False
    """Write the bundle's model card instead; with `predictions` and `labels` it shows subgroups."""
    suspects: Annotated[str | None, "URI"] = None
    """Output of a training with folds: report the labels that may be wrong instead."""
    split: str | None = None
    """Use only the labels of this split of the manifest; default: of all splits."""
    reference: Annotated[str | None, "URI"] = None
    """Other predictions to measure drift against; default: the bundle's training profile."""
    by: Annotated[str | None, "REGEX"] = None
    """Regular expression whose first group, matched in each uri, names the rows of one more table;
    by folder: '/([^/]+)/[^/]+$'."""
    allow_mixed: bool = False
    """Report on rows of several bundles together, and say so."""
    show_faces: bool = False
    """Add a contact sheet of faces, which are personal data: mind who gets the file."""
    json: Annotated[str | None, "URI"] = None
    """Also write the figures as JSON here."""
    parquet: Annotated[str | None, "URI"] = None
    """Also write every number shown as Parquet here."""
    bundle: Annotated[str | None, "URI"] = None
    """For `card`: bundle folder or s3:// prefix; default: the newest shipped one."""

    def require_predictions(self) -> str:
        """The predictions.

        Raises:
            UsageError: they are missing.
        """
        if self.predictions is None:
            raise UsageError(
                "`predictions` is missing: give the `output` of jobs.score (or `card`)"
            )
        return self.predictions
