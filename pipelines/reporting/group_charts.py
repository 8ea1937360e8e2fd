"""The charts that compare groups of labelled images: a point with its interval for each."""

from collections.abc import Mapping, Sequence
from typing import Any

from model.quality import SMALL_CELL
from pipelines.charts import marks
from pipelines.charts.chart import BAND, PLAIN, Chart
from pipelines.reporting.face_bins import OF_FACES

Figures = Mapping[str, Any]
Group = tuple[str, Figures, bool]  # name, an Estimate's fields, whether its images are too few
_MEASURES = {
    "age_mae": ("Age error", "mean absolute error, years"),
    "gender_accuracy": ("Gender accuracy", "share that is correct"),
}
_FAINT = 0.38  # opacity of groups of too few images


def coverage(quality: Figures, age: str) -> Chart | None:
    """Share of true ages inside the interval, by decade of the true or the predicted age."""
    decades = quality.get(f"coverage_by_{age}_age")
    if not decades:
        return None
    groups = [(row["group"], row, row["images"] < 100) for row in decades]
    unit = quality["unit"]
    enough = [row["value"] for _, row, faint in groups if not faint]
    words = f"Share of true ages inside the interval, by decade of the {age} age"
    if enough:
        words += f"; {min(enough):.0%} to {max(enough):.0%} where there are 100 {unit}"
    return _by_group(
        f"Interval coverage by {age} age", f"{words}.", groups, "share inside the interval",
        f"Shaded: 85 to 95%. Grey: fewer than 100 {unit}.", unit,
        ends=(0.5, 1.0), shares=True, band=(0.85, 0.95),
    )  # fmt: skip


def by_group(quality: Figures) -> list[Chart]:
    """Age error and gender accuracy by age, gender and race, each alone."""
    cells = [
        cell for group in quality["groups"].values() for cell in sorted(group, key=_age_then_name)
    ]
    drawn = [_measured(cells, measure, "group", quality["unit"]) for measure in _MEASURES]
    return [chart for chart in drawn if chart]


def by_face(quality: Figures) -> list[Chart]:
    """Age error and gender accuracy by size, roll and score of the face."""
    drawn = [
        _measured(
            quality["by_face"].get(bins.column, ()),
            measure,
            bins.title.split(",")[0],
            quality["unit"],
        )
        for bins in OF_FACES
        for measure in _MEASURES
    ]
    return [chart for chart in drawn if chart]


def _measured(cells: Sequence[Figures], measure: str, by: str, unit: str) -> Chart | None:
    """One measure of every group."""
    title, axis = _MEASURES[measure]
    title = f"{title} by {by}"
    groups = [
        (_name(cell), {**cell[measure], "images": cell["images"]}, cell["small"])
        for cell in cells
        if cell[measure]
    ]
    if not groups:
        return None
    shares = measure == "gender_accuracy"
    big = [value for _, value, faint in groups if not faint]
    values = [value["value"] for value in big]
    words = f"{title}: every group has fewer than {SMALL_CELL} {unit}."
    if big:
        ends = (min(values), max(values))
        least, most = (f"{v:.0%}" if shares else f"{v:.1f} years" for v in ends)
        words = f"{title}: from {least} to {most} among groups of {SMALL_CELL} {unit} or more."
    most = max(value["high"] for value in big or [value for _, value, _ in groups])
    ends = (0.4, 1.0) if shares else (0.0, most * 1.1)
    note = f"Grey: fewer than {SMALL_CELL} {unit}."
    return _by_group(title, words, groups, axis, note, unit, ends=ends, shares=shares)


def _by_group(
    title: str,
    words: str,
    groups: Sequence[Group],
    x_title: str,
    note: str,
    unit: str,
    *,
    ends: tuple[float, float],
    shares: bool,
    band: tuple[float, float] | None = None,
) -> Chart:
    """A point with its 95% interval for each group.

    Args:
        title: of the chart.
        words: its description.
        groups: from top to bottom.
        x_title: the measure.
        note: what grey and shading mean.
        unit: what was measured: images or faces.
        ends: of the axis; a group beyond them is told as text.
        shares: whether the measure is a share, shown in percent.
        band: shaded, from and to.
    """

    def text(value: float) -> str:
        return f"{value:.1%}" if shares else f"{value:.2f}"

    rows = [
        (name, text(v["value"]), f"{text(v['low'])} to {text(v['high'])}", f"{v['images']:,}")
        for name, v, _ in groups
    ]

    def draw(axes: Any) -> None:
        if band:
            axes.axvspan(*band, color=BAND, alpha=0.2)
        axes.set(xlim=ends, ylim=(len(groups) - 0.5, -0.5))
        axes.set_yticks(range(len(groups)), [name for name, _, _ in groups])
        labels = axes.get_yticklabels()
        for i, (_, estimate, faint) in enumerate(groups):
            labels[i].set_alpha(0.6 if faint else 1)
            value, low, high = (
                min(max(estimate[key], ends[0]), ends[1]) for key in ("value", "low", "high")
            )
            if value != estimate["value"]:
                side = "right" if value == ends[1] else "left"
                axes.text(value, i, f"off scale: {rows[i][1]}", ha=side, va="center", alpha=0.6)
                continue
            alpha = _FAINT if faint else 1
            axes.plot([low, high], [i, i], color=PLAIN, linewidth=2, alpha=alpha)
            marks.dot(axes, value, i, f"{{}}: {{}} ({{}}), {{}} {unit}".format(*rows[i]), alpha)
        if shares:
            axes.xaxis.set_major_formatter(marks.percent)

    return Chart(
        title, words, ("group", x_title, "95% interval", unit), rows, draw, note=note,
        x_title=x_title, size=(480, 56 + 24 * len(groups)), grid="x",
    )  # fmt: skip


def _name(cell: Figures) -> str:
    """Of a group of one dimension."""
    return next(iter(cell["group"].values()))


def _age_then_name(cell: Figures) -> tuple[int, str]:
    """Age bands by age, other names by alphabet."""
    start = _name(cell).split("-")[0].removesuffix("+")
    return (int(start), "") if start.isdigit() else (0, _name(cell))
