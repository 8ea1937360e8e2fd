"""An HTML report: `python -m jobs.report --predictions URI --output report.html`.

Writes one self-contained HTML file and, with --data, the same figures as JSON and Parquet. With
--labels it measures quality and subgroups. It shows faces only with --show-faces.
"""

import time
from collections.abc import Sequence

from jobs import cli
from pipelines.reporting.options import ReportOptions


def job(options: ReportOptions) -> None:
    """Write the report and print what stands on top of it."""
    from pipelines.reporting.run import report

    started = time.monotonic()
    rows = report(options)
    next_step = ("next", f"open {rows[-1][1]} in a browser")
    cli.print_table(f"reported in {time.monotonic() - started:,.1f} s", [*rows, next_step])


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    if cli.moved(argv, "--card", "card") or cli.moved(argv, "--suspects", "label_issues"):
        return
    cli.run(ReportOptions, job, argv)


if __name__ == "__main__":
    main()
