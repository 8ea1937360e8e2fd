"""The charts that compare groups of labelled images: a point with its interval for each."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.figures import marks
from pipelines.figures.chart import BAND, PLAIN, Chart

Figures = Mapping[str, Any]
_FAINT = 0.38  # opacity of groups that are too small to say much


@dataclasses.dataclass(frozen=True)
class _Group:
    """A measure of one group with its 95% interval; `faint` where it has too few images."""

    name: str
    value: float
    low: float
    high: float
    images: int
    faint: bool


def coverage(quality: Figures, age: str) -> Chart | None:
    """Share of true ages inside the interval, by decade of the true or the predicted age."""
    decades = quality.get(f"coverage_by_{age}_age")
    if not decades:
        return None
    groups = [
        _Group(row["group"], row["value"], row["low"], row["high"], row["images"],
               row["images"] < 100)
        for row in decades
    ]  # fmt: skip
    enough = [group.value for group in groups if not group.faint]
    words = f"Share of true ages inside the interval, by decade of the {age} age"
    if enough:
        words += f"; {min(enough):.0%} to {max(enough):.0%} where there are 100 images"
    made = _by_group(
        f"Interval coverage by {age} age", f"{words}.", groups, "share inside the interval",
        ends=(0.5, 1.0), shares=True, band=(0.85, 0.95),
    )  # fmt: skip
    note = "Shaded: 85 to 95%. Grey: fewer than 100 images."
    return dataclasses.replace(made, note=note)


def by_group(quality: Figures) -> list[Chart]:
    """Age error and gender accuracy by age, gender and race, each alone."""
    made: list[Chart] = []
    for measure, title, axis in (
        ("age_mae", "Age error by group", "mean absolute error, years"),
        ("gender_accuracy", "Gender accuracy by group", "share that is right"),
    ):
        groups = [
            _Group(_name(cell), value["value"], value["low"], value["high"], cell["images"],
                   cell["small"])
            for cells in quality["groups"].values()
            for cell in sorted(cells, key=_age_then_alphabet)
            if (value := cell[measure])
        ]  # fmt: skip
        if not groups:
            continue
        shares = measure == "gender_accuracy"
        big = [group for group in groups if not group.faint] or groups
        values = [group.value for group in big]
        least, most = (
            f"{v:.0%}" if shares else f"{v:.1f} years" for v in (min(values), max(values))
        )
        words = f"{title}: from {least} to {most} among groups of 30 images or more."
        ends = (0.4, 1.0) if shares else (0.0, max(group.high for group in big) * 1.1)
        made.append(
            dataclasses.replace(
                _by_group(title, words, groups, axis, ends=ends, shares=shares),
                note="Grey: fewer than 30 images.",
            )
        )
    return made


def _by_group(
    title: str,
    words: str,
    groups: Sequence[_Group],
    x_title: str,
    *,
    ends: tuple[float, float],
    shares: bool = False,
    band: tuple[float, float] | None = None,
) -> Chart:
    """A point with its interval for each group; `ends` of the axis are in the measure's unit."""

    def text(value: float) -> str:
        return f"{value:.1%}" if shares else f"{value:.2f}"

    def draw(axes: Any) -> None:
        if band:
            axes.axvspan(*band, color=BAND, alpha=0.2)
        for i, group in enumerate(groups):
            alpha = _FAINT if group.faint else 1
            inside = min(max(group.value, ends[0]), ends[1])
            if inside != group.value:
                side = "right" if group.value > ends[1] else "left"
                words = f"off scale: {text(group.value)}"
                axes.text(inside, i, words, ha=side, va="center", alpha=0.6)
                continue
            low, high = (min(max(end, ends[0]), ends[1]) for end in (group.low, group.high))
            axes.plot([low, high], [i, i], color=PLAIN, linewidth=2, alpha=alpha)
            interval = f"{text(group.low)} to {text(group.high)}"
            words = f"{group.name}: {text(group.value)} ({interval}), {group.images:,} images"
            marks.dot(axes, group.value, i, words, alpha)
        axes.set(xlim=ends, ylim=(len(groups) - 0.5, -0.5))
        axes.set_yticks(range(len(groups)), [group.name for group in groups])
        for group, label in zip(groups, axes.get_yticklabels(), strict=True):
            label.set_alpha(0.6 if group.faint else 1)
        if shares:
            axes.xaxis.set_major_formatter(marks.percent)

    rows: list[tuple[object, ...]] = [
        (group.name, text(group.value), f"{text(group.low)} to {text(group.high)}",
         f"{group.images:,}")
        for group in groups
    ]  # fmt: skip
    return Chart(
        title, words, ("group", x_title, "95% interval", "images"), rows, draw,
        x_title=x_title, size=(480, 56 + 24 * len(groups)), grid="x",
    )  # fmt: skip


def _name(cell: Mapping[str, Any]) -> str:
    """Of a group of one dimension."""
    return next(iter(cell["group"].values()))


def _age_then_alphabet(cell: Mapping[str, Any]) -> tuple[int, str]:
    """Age bands by age, other names by alphabet."""
    start = _name(cell).split("-")[0].removesuffix("+")
    return (int(start), "") if start.isdigit() else (0, _name(cell))
