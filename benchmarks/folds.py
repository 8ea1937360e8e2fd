"""Figures of runs with folds side by side: `python -m benchmarks.folds runs/first runs/second`.

Reads the metrics.json that each run has left and writes the table of docs/results.md; a run whose
manifest has rows of images as they are and of faces detected in them has columns for both.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import harness
from model.metrics import Estimate
from pipelines import storage
from pipelines.storage import tables
from pipelines.training import layout

_PERCENT = ("gender_accuracy", "coverage", "age_coverage")


def figure(figures: Mapping[str, Any], name: str) -> str:
    """A figure with its 95 % interval."""
    value = figures.get(name)
    return Estimate(**value).text(1 if name in _PERCENT else 2, name in _PERCENT) if value else "–"


def rows(record: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    """What of the images, how many of them, and the cells of one run."""
    for title, part in (
        ("all ages", "metrics"),
        ("ages 21 to 60", "ages_21_60"),
        ("ages 11 and up", "ages_11_up"),
    ):
        figures = record[part]
        count = figures["gender_accuracy" if part == "ages_11_up" else "age_mae"]["images"]
        yield title, count, _cells(figures, "age_coverage")
    for group in ("age", "gender", "race"):
        cells = sorted(record["by"][group], key=lambda cell: _order(cell["group"][group]))
        for cell in cells:
            yield cell["group"][group], cell["images"], _cells(cell, "coverage")


def _cells(figures: Mapping[str, Any], coverage: str) -> str:
    names = ("age_mae", "gender_accuracy", coverage)
    return " | ".join(figure(figures, name) for name in names)


def _order(name: str) -> tuple[int, str]:
    start = name.partition("-")[0].rstrip("+")
    return (int(start), "") if start.isdigit() else (999, name)


def main() -> None:
    """Put the table into the page."""
    parser = harness.arguments(__doc__, "results.md")
    parser.add_argument("runs", nargs="*", default=["runs/second"])
    given = harness.parsed(parser)
    runs = [storage.normalize(run) for run in given.runs]
    for run in runs:
        if not storage.exists(storage.join(run, layout.METRICS)):
            print(f"skipped: {run} has no {layout.METRICS}; benchmarks/shipped.sh makes such runs")
            return
    columns = list[tuple[str, Mapping[str, Any]]]()
    for run in runs:
        record = tables.read_json(storage.join(run, layout.METRICS))
        name = run.rstrip("/").rpartition("/")[2]
        columns.append((name, record))
        if "found" in record:
            columns.append((f"{name}, found", record["found"]))
    heads = [f"{name}: age MAE, years | gender | 90 % holds" for name, _ in columns]
    lines = [
        f"| images | count | {' | '.join(heads)} |",
        "|---|---:|" + "---|---|---|" * len(columns),
    ]
    for cells in zip(*(rows(record) for _, record in columns), strict=True):
        title, count, _ = cells[0]
        lines.append(f"| {title} | {count:,} | {' | '.join(one for *_, one in cells)} |")
    given.page.write_text(harness.with_part(given.page.read_text(), "folds", lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
