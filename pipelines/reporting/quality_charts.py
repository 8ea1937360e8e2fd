"""The charts that need labels, made from the figures; None where the figures are missing."""

from collections.abc import Mapping
from typing import Any

from pipelines.reporting import inline_svg
from pipelines.reporting.inline_svg import Chart, Plot
from pipelines.reporting.label_figures import DENSITY_YEARS

Figures = Mapping[str, Any]


def density(quality: Figures) -> Chart | None:
    """Predicted against true age as a heat map, each true age summing to one."""
    counts = quality.get("density")
    if not counts:
        return None
    size = len(counts)
    plot = Plot((0, size * DENSITY_YEARS), (0, size * DENSITY_YEARS), height=360)
    rows: list[tuple[object, ...]] = []
    for i, row in enumerate(counts):
        total = sum(row)
        for j, n in enumerate(row):
            if n:
                x, y = i * DENSITY_YEARS, j * DENSITY_YEARS
                tip = f"true {x}-{x + 4}, predicted {y}-{y + 4}: {n:,} ({n / total:.0%})"
                strength = min(1.0, 0.08 + 1.6 * n / total)
                plot.cell((x, x + DENSITY_YEARS), (y, y + DENSITY_YEARS), strength, tip)
        if total:
            middle = sum(n * (j + 0.5) * DENSITY_YEARS for j, n in enumerate(row)) / total
            rows.append((f"{i * DENSITY_YEARS}-{i * DENSITY_YEARS + 4}", total, f"{middle:.1f}"))
    end = size * DENSITY_YEARS
    plot.line([(0, 0), (end, end)], "diagonal")
    ticks = [(float(v), str(v)) for v in range(0, 101, 20)]
    plot.x_axis("true age, years", ticks)
    plot.y_axis(ticks, "predicted age, years")
    words = "Predicted against true age; on the diagonal the two agree."
    note = "Each column is scaled to its own true age."
    svg = plot.svg("Predicted against true age", words)
    columns = ("true age", "images", "mean predicted age")
    return Chart("Predicted against true age", words, svg, columns, rows, note)


def cumulative(quality: Figures) -> Chart | None:
    """CS(k): the share of images within k years."""
    curve = quality.get("cumulative_score")
    if not curve:
        return None
    plot = Plot((0, curve[-1]["years"]), (0, 1))
    plot.y_axis([(v / 5, f"{v * 20}%") for v in range(6)], "share of images")
    plot.line([(p["years"], p["share"]) for p in curve], "curve")
    for k in (3, 5, 10):
        share = curve[k]["share"]
        plot.dot(k, share, tip=f"within {k} years: {share:.1%}")
        plot.text(plot.x(k) + 9, plot.y(share) + 14, f"{share:.0%}")
    plot.x_axis("off by at most, years", [(float(v), str(v)) for v in range(0, 21, 5)])
    near, far = curve[5]["share"], curve[10]["share"]
    words = f"{near:.0%} of the images are within 5 years, {far:.0%} within 10."
    rows: list[tuple[object, ...]] = [(p["years"], f"{p['share']:.1%}") for p in curve]
    svg = plot.svg("Cumulative score", words)
    return Chart("Age error, cumulative score", words, svg, ("years", "share"), rows)


def reliability(quality: Figures) -> Chart | None:
    """Seen share of female against the predicted probability."""
    found = quality.get("reliability")
    if not found:
        return None
    plot = Plot((0, 1), (0, 1))
    ticks = [(v / 5, f"{v * 20}%") for v in range(6)]
    plot.y_axis(ticks, "share that is female")
    plot.line([(0, 0), (1, 1)], "diagonal")
    for row in found:
        x = row["predicted"]
        plot.line([(x, row["low"]), (x, row["high"])], "whisker")
        tip = f"predicted {x:.1%}, seen {row['seen']:.1%} of {row['images']:,}"
        plot.dot(x, row["seen"], tip=tip)
    plot.x_axis("predicted probability of female", ticks)
    ece = quality["metrics"]["gender_ece"]["value"]
    words = f"On the diagonal the probabilities are true; calibration error (ECE) {ece:.3f}."
    rows: list[tuple[object, ...]] = [
        (f"{r['predicted']:.1%}", f"{r['seen']:.1%}", f"{r['low']:.1%} to {r['high']:.1%}",
         f"{r['images']:,}")
        for r in found
    ]  # fmt: skip
    columns = ("predicted", "seen", "95% interval", "images")
    svg = plot.svg("Gender calibration", words)
    return Chart("Gender calibration", words, svg, columns, rows)


def roc(quality: Figures) -> Chart | None:
    """The ROC curve of female."""
    points = quality.get("roc")
    if not points or "gender_auc" not in quality["metrics"]:
        return None
    plot = Plot((0, 1), (0, 1))
    ticks = [(v / 5, f"{v * 20}%") for v in range(6)]
    plot.y_axis(ticks, "females found")
    plot.line([(0, 0), (1, 1)], "diagonal")
    plot.line(points, "curve")
    plot.x_axis("males taken for female", ticks)
    words = (
        f"ROC curve of female against male; area {quality['metrics']['gender_auc']['value']:.3f}."
    )
    rows: list[tuple[object, ...]] = [
        (f"{x:.1%}", f"{y:.1%}") for x, y in points[:: len(points) // 20 or 1]
    ]
    svg = plot.svg("Gender ROC", words)
    return Chart("Gender ROC", words, svg, ("males taken for female", "females found"), rows)


def coverage(quality: Figures, age: str) -> Chart | None:
    """Share of true ages inside the interval, by decade of the true or the predicted age."""
    found = quality.get(f"coverage_by_{age}_age")
    if not found:
        return None
    data = [
        (row["group"], row["value"], row["low"], row["high"], row["images"], row["images"] < 100)
        for row in found
    ]
    enough = [row[1] for row in data if not row[5]]
    words = "Share of true ages inside the interval, by decade of the " + f"{age} age"
    words += (
        f"; {min(enough):.0%} to {max(enough):.0%} where there are 100 images." if enough else "."
    )
    return inline_svg.dots(
        f"Interval coverage by {age} age", words, data, "share inside the interval",
        x=(0.5, 1.0), percent=True, band=(0.85, 0.95),
        note="Shaded: 85 to 95%. Grey: fewer than 100 images.",
    )  # fmt: skip


def confusions(quality: Figures) -> list[Chart]:
    """True against predicted age group, in decades and in Adience's eight."""
    made: list[Chart] = []
    for name, found in (quality.get("confusion") or {}).items():
        groups, counts = found["groups"], found["counts"]
        size = len(groups)
        plot = Plot((0, size), (size, 0), left=70, height=360)
        for i, row in enumerate(counts):
            for j, n in enumerate(row):
                share = n / sum(row) if sum(row) else 0
                tip = f"true {groups[i]}, predicted {groups[j]}: {n:,} ({share:.0%})"
                plot.cell((j, j + 1), (i, i + 1), 0.04 + 0.9 * share, tip)
                if share >= 0.01:
                    kind = "on" if share > 0.55 else ""
                    at = plot.x(j + 0.5), plot.y(i + 0.5) + 4
                    plot.text(*at, f"{100 * share:.0f}", "middle", f"in {kind}")
            plot.text(64, plot.y(i + 0.5) + 4, groups[i], "end")
        skip = 2 if size > 8 else 1
        plot.x_axis("predicted", [(j + 0.5, groups[j]) for j in range(0, size, skip)])
        right = sum(counts[i][i] for i in range(size)) / max(1, sum(map(sum, counts)))
        words = f"True (rows) against predicted (columns) age group in percent; {right:.0%} agree."
        rows: list[tuple[object, ...]] = [
            (groups[i], *(f"{n:,}" for n in counts[i])) for i in range(size)
        ]
        title = f"Age groups confused, {'Adience' if name == 'adience' else 'decades'}"
        made.append(Chart(title, words, plot.svg(title, words), ("true", *groups), rows))
    return made


def groups(quality: Figures) -> list[Chart]:
    """Age error and gender accuracy by age, gender and race, each alone."""
    made: list[Chart] = []
    for measure, title, axis in (
        ("age_mae", "Age error by group", "mean absolute error, years"),
        ("gender_accuracy", "Gender accuracy by group", "share that is right"),
    ):
        data: list[tuple[str, float, float, float, int, bool]] = []
        for cells in quality["groups"].values():
            for cell in sorted(cells, key=lambda c: _order(next(iter(c["group"].values())))):
                if found := cell[measure]:
                    name = next(iter(cell["group"].values()))
                    values = (found["value"], found["low"], found["high"], cell["images"])
                    data.append((name, *values, cell["small"]))
        if not data:
            continue
        percent = measure == "gender_accuracy"
        big = [row for row in data if not row[5]] or data
        least, most = min(row[1] for row in big), max(row[1] for row in big)
        shown = [f"{v:.0%}" if percent else f"{v:.1f} years" for v in (least, most)]
        words = f"{title}: from {shown[0]} to {shown[1]} among groups of 30 images or more."
        ends = (0.4, 1.0) if percent else (0.0, max(row[3] for row in big) * 1.1)
        note = "Grey: fewer than 30 images."
        made.append(inline_svg.dots(title, words, data, axis, x=ends, percent=percent, note=note))
    return made


def _order(name: str) -> tuple[int, str]:
    """Age bands by age, other names by alphabet."""
    start = name.split("-")[0].removesuffix("+")
    return (int(start), "") if start.isdigit() else (0, name)
