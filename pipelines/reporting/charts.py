"""Each chart of the report, made from the figures; None where the figures for it are missing."""

from collections.abc import Mapping
from typing import Any

from model.labels import DECADES, LEVI_HASSNER, bin_names
from model.statistics import EDGES
from pipelines.reporting import inline_svg
from pipelines.reporting.inline_svg import Chart, Plot, number, steps

Figures = Mapping[str, Any]
_GENDERS = (("female", "female"), ("male", "male"), ("unknown", "other"))
_YEARS_A_BAR = 2


def _by_gender(figures: Figures, step: int, most: int = 100) -> dict[str, list[int]]:
    """Images a gender and age step; ages from `most` count in the last step."""
    size = most // step
    counts = {name: [0] * size for name, _ in _GENDERS}
    for row in figures["people"]:
        counts[row["gender"]][min(row["age_years"] // step, size - 1)] += row["images"]
    return {name: values for name, values in counts.items() if sum(values)}


def ages(figures: Figures) -> Chart | None:
    """Predicted ages, stacked by gender."""
    if not figures["people"]:
        return None
    counts = _by_gender(figures, _YEARS_A_BAR)
    edges = [float(v) for v in range(0, 101, _YEARS_A_BAR)]
    series = [(name, kind, counts[name]) for name, kind in _GENDERS if name in counts]
    totals = [sum(values) for values in zip(*counts.values(), strict=True)]
    peak = int(edges[totals.index(max(totals))])
    words = f"Predicted ages by gender; most are {peak} to {peak + _YEARS_A_BAR} years."
    return inline_svg.histogram("Age", words, edges, series, "predicted age, years")


def pyramid(figures: Figures) -> Chart | None:
    """Female to the left, male to the right, by five years."""
    counts = _by_gender(figures, 5) if figures["people"] else {}
    if not {"female", "male"} <= set(counts):
        return None
    most = max(*counts["female"], *counts["male"])
    plot = Plot((-most * 1.05, most * 1.05), (0, 100))
    plot.y_axis([(float(v), str(v)) for v in range(0, 101, 10)], "predicted age, years")
    rows: list[tuple[object, ...]] = []
    for i, (female, male) in enumerate(zip(counts["female"], counts["male"], strict=True)):
        years = f"{5 * i}-{5 * i + 4}" if i < 19 else "95+"
        plot.box(
            (-female, 0), (5 * i + 0.4, 5 * i + 4.6), "female", f"female {years}: {female:,}", 0
        )
        plot.box((0, male), (5 * i + 0.4, 5 * i + 4.6), "male", f"male {years}: {male:,}", 0)
        rows.append((years, f"{female:,}", f"{male:,}"))
    ticks = steps(0, most, 3)
    sides = sorted({-v for v in ticks} | set(ticks))
    plot.x_axis("images", [(v, number(abs(v))) for v in sides])
    inline_svg.legend(plot, [("female", "female"), ("male", "male")])
    words = "Age pyramid by predicted gender in steps of five years."
    svg = plot.svg("Age pyramid", words)
    return Chart("Age pyramid", words, svg, ("years", "female", "male"), rows)


def age_groups(figures: Figures) -> Chart | None:
    """Images in each age group of the predictions' own binning."""
    found = figures["age_groups"]
    if not found:
        return None
    binning = DECADES if set(found) <= set(bin_names(DECADES)) else LEVI_HASSNER
    names = (
        [n for n in bin_names(binning)] if set(found) <= set(bin_names(binning)) else sorted(found)
    )
    counts = [found.get(name, 0) for name in names]
    ticks = [(i + 0.5, name) for i, name in enumerate(names)]
    if len(ticks) > 8:
        ticks = ticks[::2]
    edges = [float(i) for i in range(len(names) + 1)]
    words = "Images in each age group; the largest is " + names[counts.index(max(counts))] + "."
    chart = inline_svg.histogram(
        "Age groups", words, edges, [("images", "plain", counts)], "age group, years", ticks=ticks
    )
    rows: list[tuple[object, ...]] = [
        (name, f"{count:,}") for name, count in zip(names, counts, strict=True)
    ]
    return Chart(chart.title, words, chart.svg, ("age group", "images"), rows)


def confidence(figures: Figures) -> Chart | None:
    """How sure of the gender: max(p, 1 - p), folded from the histogram of p."""
    p = figures["histograms"].get("p_female")
    if not p or not sum(p):
        return None
    counts = [p[25 + i] + p[24 - i] for i in range(25)]
    edges = [round(0.5 + 0.02 * i, 2) for i in range(26)]
    sure = sum(counts[20:]) / sum(counts)
    words = f"Confidence of the gender; {sure:.0%} of the images are at 90 % or above."
    return inline_svg.histogram(
        "Gender confidence", words, edges, [("images", "plain", counts)],
        "probability of the named gender",
        ticks=[(v, f"{v:.0%}") for v in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)],
    )  # fmt: skip


def interval_widths(figures: Figures) -> Chart | None:
    """Widths of the age intervals, in steps of two years."""
    counts = figures["histograms"].get("interval_years")
    if not counts or not sum(counts):
        return None
    paired = [a + b for a, b in zip(counts[::2], [*counts[1::2], 0], strict=False)]
    last = max(i for i, n in enumerate(paired) if n) + 2
    edges = [float(2 * i) for i in range(last + 1)]
    coverage = figures["run"].get("coverage")
    asked = f" for {coverage:.0%} coverage" if coverage else ""
    mean = figures["means"]["interval_years"]
    words = f"Widths of the age intervals{asked}; the mean is {mean:.1f} years."
    padded = (paired + [0] * last)[:last]
    return inline_svg.histogram(
        "Age interval widths", words, edges, [("images", "plain", padded)], "width, years"
    )


def drifted(figures: Figures) -> list[Chart]:
    """Reference and current shares of every column that is not green or grey; at most six."""
    ranked = sorted(figures["drift"]["columns"], key=lambda row: -(row["psi"] or 0))
    made: list[Chart] = []
    for row in [row for row in ranked if row["light"] in ("amber", "red")][:6]:
        name, edges = row["name"], EDGES[row["name"]]
        now, before = figures["histograms"][name], row["reference"]
        used = [i for i in range(len(now)) if now[i] or before[i]]
        first, last = max(0, used[0] - 1), min(len(now), used[-1] + 2)
        shares = [[n / max(1, sum(counts)) for n in counts[first:last]] for counts in (before, now)]
        plot = Plot((first, last), (0, max(map(max, shares)) * 1.15))
        top = max(map(max, shares))
        plot.y_axis([(v, f"{v:.0%}" if top > 0.05 else f"{v:.1%}") for v in steps(0, top)], "share")
        for i, share in enumerate(shares[1]):
            plot.box((first + i, first + i + 1), (0, share), "plain", f"now {share:.1%}")
        plot.line([(first + i + 0.5, share) for i, share in enumerate(shares[0])], "reference")
        places = sorted({int(v) for v in steps(first, last, 5)})
        plot.x_axis(name, [(float(i), f"{edges[i]:.3g}") for i in places if i < len(edges)])
        inline_svg.legend(plot, [("plain", "now"), ("refkey", "reference")])
        distances = f"PSI {row['psi']:.2f}, KS {row['ks']:.2f}, {row['light']}"
        words = f"{name} now and in the reference: {distances}."
        rows: list[tuple[object, ...]] = [
            (f"{edges[i]:.3g}-{edges[i + 1]:.3g}", f"{before[i]:,}", f"{now[i]:,}")
            for i in range(first, last)
        ]
        columns = (name, "reference", "now")
        made.append(Chart(f"Drift of {name}", words, plot.svg(name, words), columns, rows))
    return made
