"""The charts that need no labels, made from the figures; None where their figures are missing."""

from collections.abc import Mapping, Sequence
from typing import Any

from model.labels import DECADES, LEVI_HASSNER, bin_names
from model.statistics import EDGES
from pipelines.charts import marks
from pipelines.charts.chart import FEMALE, MALE, OTHER, PLAIN, Chart
from pipelines.charts.marks import number
from pipelines.reporting.face_bins import EYE_DISTANCE, ROLL, Bins

Figures = Mapping[str, Any]
Series = tuple[str, str, Sequence[float]]  # name, colour, a count for each bar
_GENDERS = (("female", FEMALE), ("male", MALE), ("unknown", OTHER))
_YEARS_A_BAR = 2
_GAP = 1 / 400  # between bars, as a share of the axis: about a pixel
_SMALL_PX, _TURNED_DEGREES = 32, 20  # below and from which a face is told to be so


def ages(figures: Figures) -> Chart | None:
    """Predicted ages, stacked by gender."""
    if not figures["people"]:
        return None
    counts = _by_gender(figures, _YEARS_A_BAR)
    edges = list(range(0, 101, _YEARS_A_BAR))
    series = [(name, colour, counts[name]) for name, colour in _GENDERS if name in counts]
    totals = [sum(values) for values in zip(*counts.values(), strict=True)]
    peak = edges[totals.index(max(totals))]
    words = f"Predicted ages by gender; most are {peak} to {peak + _YEARS_A_BAR} years."
    return _histogram("Age", words, edges, series, "predicted age, years", figures["unit"])


def pyramid(figures: Figures) -> Chart | None:
    """Female to the left, male to the right, by five years."""
    counts = _by_gender(figures, 5) if figures["people"] else {}
    if not {"female", "male"} <= set(counts):
        return None
    years = [f"{start}-{start + 4}" if start < 95 else "95+" for start in range(0, 100, 5)]

    def draw(axes: Any) -> None:
        for name, colour, side in (("female", FEMALE, -1), ("male", MALE, 1)):
            lengths = [side * images for images in counts[name]]
            tips = (f"{name} {step}: {n:,}" for step, n in zip(years, counts[name], strict=True))
            marks.bars(axes.barh, range(0, 100, 5), lengths, 4.2, tips, colour=colour, name=name)
        axes.set(ylim=(0, 100), yticks=range(0, 101, 10))
        axes.locator_params(axis="x", integer=True)
        axes.xaxis.set_major_formatter(lambda value, _: number(abs(value)))

    rows = [
        (step, f"{female:,}", f"{male:,}")
        for step, female, male in zip(years, counts["female"], counts["male"], strict=True)
    ]
    return Chart(
        "Age pyramid", "Age pyramid by predicted gender in steps of five years.",
        ("years", "female", "male"), rows, draw, x_title=figures["unit"],
        y_title="predicted age, years",
    )  # fmt: skip


def age_groups(figures: Figures) -> Chart | None:
    """Images in each age group of the predictions' own binning."""
    images: Mapping[str, int] = figures["age_groups"]
    if not images:
        return None
    binnings = (bin_names(binning) for binning in (DECADES, LEVI_HASSNER))
    names = next((list(names) for names in binnings if set(images) <= set(names)), sorted(images))
    counts = [images.get(name, 0) for name in names]
    unit, largest = figures["unit"], names[counts.index(max(counts))]
    words = f"{unit.capitalize()} in each age group; the largest is {largest}."
    groups = ("age group", names)
    return _grouped("Age groups", words, groups, (unit, counts), "age group, years")


def confidence(figures: Figures) -> Chart | None:
    """How sure of the gender: max(p, 1 - p), folded from the histogram of p."""
    p = figures["histograms"].get("p_female")
    if not p or not sum(p):
        return None
    counts = [p[25 + i] + p[24 - i] for i in range(25)]
    edges = [round(0.5 + 0.02 * i, 2) for i in range(26)]
    sure = sum(counts[20:]) / sum(counts)
    unit = figures["unit"]
    words = f"Confidence of the gender; {sure:.0%} of the {unit} are at 90 % or above."
    series = [(unit, PLAIN, counts)]
    title = "probability of the named gender"
    return _histogram(
        "Gender confidence", words, edges, series, title, unit, x_format=marks.percent
    )


def interval_widths(figures: Figures) -> Chart | None:
    """Widths of the age intervals, in steps of two years."""
    counts = figures["histograms"].get("interval_years")
    if not counts or not sum(counts):
        return None
    paired = [a + b for a, b in zip(counts[::2], [*counts[1::2], 0], strict=False)]
    last = max(i for i, n in enumerate(paired) if n) + 2
    edges = [2 * i for i in range(last + 1)]
    coverage = figures["run"].get("coverage")
    asked = f" for {coverage:.0%} coverage" if coverage else ""
    mean = figures["means"]["interval_years"]
    words = f"Widths of the age intervals{asked}; the mean is {mean:.1f} years."
    padded = (paired + [0] * last)[:last]
    series = [(figures["unit"], PLAIN, padded)]
    title = "Age interval widths"
    return _histogram(title, words, edges, series, "width, years", figures["unit"])


def drifted(figures: Figures) -> list[Chart]:
    """Reference and current shares of every column that is amber or red; the six furthest off."""
    ranked = sorted(figures["drift"]["columns"], key=lambda row: -(row["psi"] or 0))
    shown = [row for row in ranked if row["light"] in ("amber", "red")][:6]
    return [_drift_of(row, figures["histograms"][row["name"]]) for row in shown]


def _drift_of(row: Mapping[str, Any], now: Sequence[int]) -> Chart:
    """One column of these predictions (bars) and of the reference (a line), as shares of images."""
    name, before, edges = row["name"], row["reference"], EDGES[row["name"]]
    used = [i for i in range(len(now)) if now[i] or before[i]]
    first, last = max(0, used[0] - 1), min(len(now), used[-1] + 2)
    bins = range(first, last)
    shares, reference = (
        [counts[i] / max(1, sum(counts)) for i in bins] for counts in (now, before)
    )

    def draw(axes: Any) -> None:
        tips = (f"now {share:.1%}" for share in shares)
        marks.bars(axes.bar, bins, shares, 1 - _GAP * len(bins), tips, name="now")
        middles = [i + 0.5 for i in bins]
        axes.plot(middles, reference, color=FEMALE, linewidth=2, label="reference")
        axes.set_xlim(first, last)
        axes.locator_params(axis="x", nbins=6, integer=True)
        axes.xaxis.set_major_formatter(
            lambda i, _: f"{edges[int(i)]:.3g}" if 0 <= i < len(edges) else ""
        )
        axes.yaxis.set_major_formatter(marks.percent)

    distances = f"PSI {row['psi']:.2f}, KS {row['ks']:.2f}, {row['light']}"
    rows = [(f"{edges[i]:.3g}-{edges[i + 1]:.3g}", f"{before[i]:,}", f"{now[i]:,}") for i in bins]
    return Chart(
        f"Drift of {name}", f"{name} now and in the reference: {distances}.",
        (name, "reference", "now"), rows, draw, x_title=name, y_title="share",
    )  # fmt: skip


def faces_a_picture(figures: Figures) -> Chart | None:
    """Images by how many faces they show, those without one too; None of face crops."""
    if not figures["faces"]:
        return None
    rows = figures["faces"]["a_picture"]
    names = ["0", *(row["bin"] for row in rows)]
    counts = [figures["counts"]["without_a_face"], *(row["pictures"] for row in rows)]
    several = sum(counts[2:]) / max(1, sum(counts))
    words = f"Images by the number of detected faces; {several:.0%} show several."
    title = "faces in the image"
    return _grouped("Faces per image", words, (title, names), ("pictures", counts), title)


def sizes(figures: Figures) -> Chart | None:
    """Faces by how far apart their eyes are; None of face crops."""
    small = f"have less than {_SMALL_PX} pixels."
    words = "Faces by the distance of their eyes"
    return _of_faces(figures, "Size of faces", words, EYE_DISTANCE, _SMALL_PX, small, below=True)


def rolls(figures: Figures) -> Chart | None:
    """Faces by how far they lean to either side; None of face crops."""
    turned = f"by {_TURNED_DEGREES}° or more."
    words = "Faces by roll to the left or right"
    return _of_faces(figures, "Roll of faces", words, ROLL, _TURNED_DEGREES, turned, below=False)


def _of_faces(
    figures: Figures, title: str, words: str, bins: Bins, limit: float, what: str, *, below: bool
) -> Chart | None:
    """Faces by bin, told with the share that lies below or from a limit on."""
    counts = [row["faces"] for row in figures["faces"][bins.column]] if figures["faces"] else []
    if not sum(counts):
        return None
    at = bins.starts.index(limit)
    share = sum(counts[:at] if below else counts[at:]) / sum(counts)
    groups, counted = (bins.title, bins.names), ("faces", counts)
    return _grouped(title, f"{words}; {share:.0%} {what}", groups, counted, bins.title, bins.starts)


def _by_gender(figures: Figures, step: int, most: int = 100) -> dict[str, list[int]]:
    """Images a gender and age step; ages from `most` count in the last step."""
    size = most // step
    counts = {name: [0] * size for name, _ in _GENDERS}
    for row in figures["people"]:
        counts[row["gender"]][min(row["age_years"] // step, size - 1)] += row["images"]
    return {name: values for name, values in counts.items() if sum(values)}


def _histogram(
    title: str,
    words: str,
    edges: Sequence[float],
    series: Sequence[Series],
    x_title: str,
    y_title: str,
    *,
    x_format: Any = None,
) -> Chart:
    """Stacked bars over shared edges of equal distance."""
    bins = range(len(edges) - 1)
    steps = [f"{edges[i]:g}-{edges[i + 1]:g}" for i in bins]

    def draw(axes: Any) -> None:
        width = edges[1] - edges[0] - _GAP * (edges[-1] - edges[0])
        base = [0.0 for _ in bins]
        for name, colour, counts in series:
            tips = (f"{name} {step}: {n:,}" for step, n in zip(steps, counts, strict=True))
            label = name if len(series) > 1 else None
            marks.bars(
                axes.bar, edges[:-1], counts, width, tips, colour=colour, name=label, base=base
            )
            base = [low + count for low, count in zip(base, counts, strict=True)]
        axes.set_xlim(edges[0], edges[-1])
        _whole_numbers(axes)
        if x_format:
            axes.xaxis.set_major_formatter(x_format)

    rows = [
        (steps[i], *(f"{counts[i]:,.0f}" for _, _, counts in series))
        for i in bins
        if any(counts[i] for _, _, counts in series)
    ]
    columns = (x_title, *(name for name, _, _ in series))
    return Chart(title, words, columns, rows, draw, x_title=x_title, y_title=y_title)


def _grouped(
    title: str,
    words: str,
    groups: tuple[str, Sequence[str]],
    counted: tuple[str, Sequence[int]],
    x_title: str,
    edges: Sequence[float] = (),
) -> Chart:
    """A bar for each of several groups, which need not be of equal width.

    `groups` are what they are and their names, `counted` what is counted and how many are in each.
    `edges`, where each group begins, stand below the bars in place of the names.
    """
    names, counts = groups[1], counted[1]
    rows = [(name, f"{count:,}") for name, count in zip(names, counts, strict=True)]

    def draw(axes: Any) -> None:
        tips = (f"{name}: {count}" for name, count in rows)
        marks.bars(axes.bar, range(len(names)), counts, 0.96, tips)
        axes.set_xlim(0, len(names))
        step = 2 if len(names) > 8 else 1
        if edges:
            axes.set_xticks([i - 0.02 for i in range(len(names))], [f"{edge:g}" for edge in edges])
        else:
            axes.set_xticks([i + 0.48 for i in range(0, len(names), step)], names[::step])
        _whole_numbers(axes)

    return Chart(
        title, words, (groups[0], counted[0]), rows, draw, x_title=x_title, y_title=counted[0]
    )


def _whole_numbers(axes: Any) -> None:
    """The vertical axis counts."""
    axes.locator_params(axis="y", integer=True)
    axes.yaxis.set_major_formatter(number)
