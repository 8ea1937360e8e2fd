"""The charts that need labels, made from the figures; None where their figures are missing."""

from collections.abc import Mapping, Sequence
from typing import Any

from model.quality import DENSITY_YEARS
from pipelines.charts import marks
from pipelines.charts.chart import CARD, INK, PLAIN, Chart

Figures = Mapping[str, Any]
_CELL_TEXT_PX = 11


def density(quality: Figures) -> Chart | None:
    """Predicted against true age as a heat map, each true age summing to one."""
    counts = quality.get("density")
    if not counts:
        return None
    end = len(counts) * DENSITY_YEARS
    bands = [f"{start}-{start + DENSITY_YEARS - 1}" for start in range(0, end, DENSITY_YEARS)]

    def draw(axes: Any) -> None:
        for i, row in enumerate(counts):
            for j, images in enumerate(row):
                if images:
                    share = images / sum(row)
                    text = f"true {bands[i]}, predicted {bands[j]}: {images:,} ({share:.0%})"
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
        for i, row in enumerate(counts):
            for j, images in enumerate(row):
                share = images / sum(row) if sum(row) else 0
                text = f"true {groups[i]}, predicted {groups[j]}: {images:,} ({share:.0%})"
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


def _mean_age(row: Sequence[int]) -> float:
    """Mean age in years of images counted in steps of `DENSITY_YEARS`."""
    return sum(n * (j + 0.5) * DENSITY_YEARS for j, n in enumerate(row)) / sum(row)


def _shares(axes: Any) -> None:
    """Both axes in percent."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(marks.percent)
