"""A report to look at: `python -m jobs.report --predictions URI --output report.html`.

Leaves one self-contained HTML file and, if asked for, the same figures as JSON and Parquet. With
--labels it measures quality and subgroups. `--bundle URI --card` writes the bundle's model card
(MODEL_CARD.md and .html) instead, `--suspects RUN` the labels that may be wrong, as a training with
folds has found them. No faces are shown unless --show-faces.
"""

import time
from collections.abc import Sequence

from jobs import cli
from pipelines.reporting.options import ReportOptions


def job(options: ReportOptions) -> None:
    """Write the report, or the card, and print what stands on top of it."""
    from pipelines.reporting.run import card, report

    if options.card:
        cli.print_table("wrote the model card", [("file", uri) for uri in card(options)])
        return
    started = time.monotonic()
    rows = report(options)
    next_step = ("next", f"open {rows[-1][1]} in a browser")
    cli.print_table(f"reported in {time.monotonic() - started:,.1f} s", [*rows, next_step])


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(ReportOptions, job, argv)


if __name__ == "__main__":
    main()
