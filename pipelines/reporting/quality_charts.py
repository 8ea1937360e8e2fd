"""The charts that need labels, made from the figures; None where their figures are missing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model.quality import DENSITY_YEARS, SMALL_CELL
from pipelines.charts import marks
from pipelines.charts.chart import BAND, CARD, INK, PLAIN, Chart
from pipelines.reporting.face_bins import OF_FACES

Figures = Mapping[str, Any]
Group = tuple[str, Figures, bool]  # name, an Estimate's fields, whether its images are too few
_MEASURES = {
    "age_mae": ("Age error", "mean absolute error, years"),
    "gender_accuracy": ("Gender accuracy", "share that is correct"),
}
_FAINT = 0.38  # opacity of groups of too few images
_CELL_TEXT_PX = 11


def density(quality: Figures) -> Chart | None:
    """Predicted against true age as a heat map, each true age summing to one."""
    counts = quality.get("density")
    if not counts:
        return None
    end = len(counts) * DENSITY_YEARS
    bands = [f"{start}-{start + DENSITY_YEARS - 1}" for start in range(0, end, DENSITY_YEARS)]

    def draw(axes: Any) -> None:
        for i, j, share, text in _cells(bands, counts):
            if share:
                place = (i * DENSITY_YEARS, j * DENSITY_YEARS)
                marks.cell(axes, place, DENSITY_YEARS, min(1.0, 0.08 + 1.6 * share), text)
        marks.diagonal(axes, end)
        ticks = range(0, end, 20)
        axes.set(xticks=ticks, yticks=ticks)

    rows = [
        (bands[i], sum(row), f"{_mean_age(row):.1f}") for i, row in enumerate(counts) if sum(row)
    ]
    return Chart(
        "Predicted against true age",
        "Predicted against true age; on the diagonal the two agree.",
        ("true age", quality["unit"], "mean predicted age"), rows, draw,
        x_title="true age, years", y_title="predicted age, years", size=(480, 360),
        note="Each column is scaled to its own true age.",
    )  # fmt: skip


def cumulative(quality: Figures) -> Chart | None:
    """CS(k): the share of images within k years."""
    curve = quality.get("cumulative_score")
    if not curve:
        return None
    shares = {point["years"]: point["share"] for point in curve}

    def draw(axes: Any) -> None:
        axes.plot(list(shares), list(shares.values()), color=PLAIN)
        for k in (3, 5, 10):
            marks.dot(axes, k, shares[k], f"within {k} years: {shares[k]:.1%}")
            offset = {"xytext": (9, -14), "textcoords": "offset points"}
            axes.annotate(f"{shares[k]:.0%}", (k, shares[k]), **offset)
        axes.set(xlim=(0, max(shares)), ylim=(0, 1))
        axes.locator_params(axis="x", integer=True, nbins=5)
        axes.yaxis.set_major_formatter(marks.percent)

    return Chart(
        "Age error, cumulative score",
        f"{shares[5]:.0%} of the {quality['unit']} are within 5 years, "
        f"{shares[10]:.0%} within 10.",
        ("years", "share"), [(years, f"{share:.1%}") for years, share in shares.items()], draw,
        x_title="off by at most, years", y_title=f"share of {quality['unit']}",
    )  # fmt: skip


def reliability(quality: Figures) -> Chart | None:
    """Seen share of female against the predicted probability."""
    bins = quality.get("reliability")
    if not bins:
        return None

    def draw(axes: Any) -> None:
        marks.diagonal(axes, 1)
        for row in bins:
            x = row["predicted"]
            axes.plot([x, x], [row["low"], row["high"]], color=PLAIN, linewidth=2)
            text = f"predicted {x:.1%}, seen {row['seen']:.1%} of {row['images']:,}"
            marks.dot(axes, x, row["seen"], text)
        _shares(axes)

    ece = quality["metrics"]["gender_ece"]["value"]
    rows = [
        (f"{row['predicted']:.1%}", f"{row['seen']:.1%}", f"{row['low']:.1%} to {row['high']:.1%}",
         f"{row['images']:,}")
        for row in bins
    ]  # fmt: skip
    return Chart(
        "Gender calibration",
        f"On the diagonal the probabilities are true; calibration error (ECE) {ece:.3f}.",
        ("predicted", "seen", "95% interval", quality["unit"]), rows, draw,
        x_title="predicted probability of female", y_title="share that is female",
    )  # fmt: skip


def roc(quality: Figures) -> Chart | None:
    """The ROC curve of female."""
    points = quality.get("roc")
    if not points or "gender_auc" not in quality["metrics"]:
        return None

    def draw(axes: Any) -> None:
        marks.diagonal(axes, 1)
        axes.plot(*zip(*points, strict=True), color=PLAIN)
        _shares(axes)

    area = quality["metrics"]["gender_auc"]["value"]
    rows = [(f"{x:.1%}", f"{y:.1%}") for x, y in points[:: len(points) // 20 or 1]]
    titles = ("males predicted female", "females predicted female")
    return Chart(
        "Gender ROC", f"ROC curve of female against male; area {area:.3f}.", titles, rows, draw,
        x_title=titles[0], y_title=titles[1],
    )  # fmt: skip


def confusions(quality: Figures) -> list[Chart]:
    """True against predicted age group, in decades and in Adience's eight."""
    tables = quality.get("confusion") or {}
    return [
        _confusion("Adience" if name == "adience" else name, table["groups"], table["counts"])
        for name, table in tables.items()
    ]


def _confusion(name: str, groups: Sequence[str], counts: Sequence[Sequence[int]]) -> Chart:
    size = len(groups)

    def draw(axes: Any) -> None:
        for i, j, share, text in _cells(groups, counts):
            marks.cell(axes, (j, i), 1, 0.04 + 0.9 * share, text)
            if share >= 0.01:
                axes.text(
                    j + 0.5, i + 0.5, f"{100 * share:.0f}", ha="center", va="center",
                    size=_CELL_TEXT_PX, color=CARD if share > 0.55 else INK,
                )  # fmt: skip
        axes.set(xlim=(0, size), ylim=(size, 0))
        step = 2 if size > 8 else 1
        axes.set_xticks([j + 0.5 for j in range(0, size, step)], groups[::step])
        axes.set_yticks([i + 0.5 for i in range(size)], groups)

    right = sum(counts[i][i] for i in range(size)) / max(1, sum(map(sum, counts)))
    rows = [
        (group, *(f"{images:,}" for images in row))
        for group, row in zip(groups, counts, strict=True)
    ]
    return Chart(
        f"Age groups confused, {name}",
        f"True (rows) against predicted (columns) age group in percent; {right:.0%} agree.",
        ("true", *groups), rows, draw, x_title="predicted", size=(480, 360), grid=None,
    )  # fmt: skip


def _cells(
    names: Sequence[str], counts: Sequence[Sequence[int]]
) -> Iterator[tuple[int, int, float, str]]:
    """Each pair of a true and a predicted group, its share of the true one, and its tooltip."""
    for i, row in enumerate(counts):
        for j, images in enumerate(row):
            share = images / max(1, sum(row))
            text = f"true {names[i]}, predicted {names[j]}: {images:,} ({share:.0%})"
            yield i, j, share, text


def _mean_age(row: Sequence[int]) -> float:
    """Mean age in years of images counted in steps of `DENSITY_YEARS`."""
    return sum(n * (j + 0.5) * DENSITY_YEARS for j, n in enumerate(row)) / sum(row)


def _shares(axes: Any) -> None:
    """Both axes in percent."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(marks.percent)


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
    """A point with its 95% interval for each group, from top to bottom.

    `x_title` is the measure, `note` what grey and shading mean, `ends` those of the axis (a group
    beyond them is told as text), `band` what is shaded.
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
