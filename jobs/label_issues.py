"""Labels that may be wrong: `python -m jobs.label_issues --run URI --output issues.html`.

Writes a page of the labels that a cross-validation found least plausible, and of conflicting
duplicates. It shows faces only with --show-faces.
"""

from collections.abc import Sequence

from jobs import cli
from pipelines.reporting.options import LabelIssuesOptions


def job(options: LabelIssuesOptions) -> None:
    """Write the page and print what stands on top of it."""
    from pipelines.reporting.label_issues import write_page

    rows = write_page(options)
    next_step = ("next", f"open {rows[-1][1]} in a browser")
    cli.print_table("listed labels that may be wrong", [*rows, next_step])


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(LabelIssuesOptions, job, argv)


if __name__ == "__main__":
    main()
