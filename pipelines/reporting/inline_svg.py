"""Charts as inline SVG, coloured by CSS variables, so that one file suits light, dark and print."""

import dataclasses
import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 14, 14, 42


@dataclasses.dataclass(frozen=True)
class Chart:
    """A picture, its words for those who do not see it, and the numbers behind it."""

    title: str
    description: str
    svg: str
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    note: str = ""


def number(value: float, digits: int = 0) -> str:
    """`12,345`, `0.25`, `1.2M`: short enough for an axis."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scaled = value / (1e3 if unit == "k" else size)
            return f"{scaled:.3g}{unit}"
    return f"{value:,.{digits}f}"


def steps(low: float, high: float, count: int = 5) -> list[float]:
    """Round ticks from `low` to `high`, about `count` of them."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * f for f in (1, 2, 2.5, 5, 10) if power * f >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


class Plot:
    """Axes from data to the picture, and marks added one by one."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        left: int = _LEFT,
        height: int = HEIGHT,
    ) -> None:
        """Set the ranges of both axes in data units; `left` leaves room for labels."""
        self.x_range, self.y_range = x, y
        self.left, self.height = left, height
        self.marks: list[str] = []

    def x(self, value: float) -> float:
        """Horizontal place of a value."""
        low, high = self.x_range
        return self.left + (value - low) / ((high - low) or 1) * (WIDTH - self.left - _RIGHT)

    def y(self, value: float) -> float:
        """Vertical place of a value."""
        low, high = self.y_range
        return (
            self.height
            - _BOTTOM
            - (value - low) / ((high - low) or 1) * (self.height - _TOP - _BOTTOM)
        )

    def x_axis(self, title: str, ticks: Sequence[tuple[float, str]], grid: bool = False) -> None:
        """Tick labels below, and a title."""
        base = self.height - _BOTTOM
        for value, label in ticks:
            at = self.x(value)
            if grid:
                self.marks.append(f'<path class="grid" d="M{at:.1f} {_TOP}V{base}"/>')
            self.text(at, base + 16, label, "middle")
        self.text((self.left + WIDTH - _RIGHT) / 2, self.height - 6, title, "middle", "axis")

    def y_axis(self, ticks: Sequence[tuple[float, str]], title: str = "") -> None:
        """Grid lines with labels at their left."""
        for value, label in ticks:
            at = self.y(value)
            self.marks.append(f'<path class="grid" d="M{self.left} {at:.1f}H{WIDTH - _RIGHT}"/>')
            self.text(self.left - 6, at + 4, label, "end")
        if title:
            middle = (_TOP + self.height - _BOTTOM) / 2
            self.marks.append(
                f'<text class="axis" text-anchor="middle" transform="translate(12 {middle:.0f}) '
                f'rotate(-90)">{escape(title)}</text>'
            )

    def text(self, x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> None:
        """A label at a place in the picture."""
        self.marks.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">'
            f"{escape(text)}</text>"
        )

    def box(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        kind: str,
        tip: str = "",
        gap: float = 1,
    ) -> None:
        """A filled rectangle in data units, `gap` pixels narrower, with a tooltip."""
        x0, x1 = sorted((self.x(x[0]), self.x(x[1])))
        y0, y1 = sorted((self.y(y[0]), self.y(y[1])))
        width = max(x1 - x0 - gap, 0.5)
        inner = f"<title>{escape(tip)}</title>" if tip else ""
        self.marks.append(
            f'<rect class="{kind}" x="{x0 + gap / 2:.1f}" y="{y0:.1f}" width="{width:.1f}" '
            f'height="{max(y1 - y0, 0):.1f}">{inner}</rect>'
        )

    def cell(
        self, x: tuple[float, float], y: tuple[float, float], strength: float, tip: str
    ) -> None:
        """A rectangle of a heat map; `strength` 0-1 is its opacity."""
        self.box(x, y, f'heat" fill-opacity="{strength:.3f}', tip, gap=0.6)

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through points in data units."""
        path = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)
        self.marks.append(f'<path class="{kind}" d="M{path}"/>')

    def dot(self, x: float, y: float, kind: str = "dot", tip: str = "") -> None:
        """A point in data units."""
        inner = f"<title>{escape(tip)}</title>" if tip else ""
        self.marks.append(
            f'<circle class="{kind}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="4">{inner}'
            "</circle>"
        )

    def svg(self, title: str, description: str) -> str:
        """The picture, described for screen readers."""
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'aria-label="{escape(title + ". " + description)}">{"".join(self.marks)}</svg>'
        )


def legend(plot: Plot, entries: Sequence[tuple[str, str]]) -> None:
    """Colour keys in the upper right corner: (class, name)."""
    at = WIDTH - _RIGHT
    for kind, name in reversed(entries):
        at -= 8 * len(name) + 18
        plot.marks.append(f'<rect class="{kind}" x="{at}" y="4" width="10" height="10" rx="2"/>')
        plot.text(at + 14, 13, name)


def histogram(
    title: str,
    words: str,
    edges: Sequence[float],
    series: Sequence[tuple[str, str, Sequence[float]]],
    x_title: str,
    *,
    ticks: Sequence[tuple[float, str]] | None = None,
    note: str = "",
) -> Chart:
    """Stacked bars: series of (name, class, counts) over shared edges."""
    totals = [sum(counts[i] for _, _, counts in series) for i in range(len(edges) - 1)]
    plot = Plot((edges[0], edges[-1]), (0, max([*totals, 1]) * 1.12))
    plot.y_axis([(v, number(v)) for v in steps(0, max([*totals, 1]))], "images")
    for i in range(len(edges) - 1):
        bottom = 0.0
        for name, kind, counts in series:
            if counts[i]:
                tip = f"{name} {edges[i]:g}-{edges[i + 1]:g}: {counts[i]:,.0f}"
                plot.box((edges[i], edges[i + 1]), (bottom, bottom + counts[i]), kind, tip)
                bottom += counts[i]
    shown = ticks or [(v, f"{v:g}") for v in steps(edges[0], edges[-1], 8)]
    plot.x_axis(x_title, shown)
    if len(series) > 1:
        legend(plot, [(kind, name) for name, kind, _ in series])
    rows: list[tuple[object, ...]] = [
        (f"{edges[i]:g}-{edges[i + 1]:g}", *(f"{counts[i]:,.0f}" for _, _, counts in series))
        for i in range(len(edges) - 1)
        if totals[i]
    ]
    columns = (x_title, *(name for name, _, _ in series))
    return Chart(title, words, plot.svg(title, words), columns, rows, note)


def dots(
    title: str,
    words: str,
    rows: Sequence[tuple[str, float, float, float, int, bool]],
    x_title: str,
    *,
    x: tuple[float, float],
    percent: bool = False,
    band: tuple[float, float] | None = None,
    note: str = "",
) -> Chart:
    """A point with its interval a row: (name, value, low, high, images, grey)."""
    height = _TOP + _BOTTOM + 24 * len(rows)
    plot = Plot(x, (len(rows), 0), left=132, height=height)
    if band:
        plot.box(band, (0, len(rows)), "band")

    def text(value: float) -> str:
        return f"{value:.1%}" if percent else f"{value:.2f}"

    plot.x_axis(x_title, [(v, f"{v:.0%}" if percent else f"{v:g}") for v in steps(*x)], grid=True)
    table: list[tuple[object, ...]] = []
    for i, (name, value, low, high, images, grey) in enumerate(rows):
        kind = " small" if grey else ""
        plot.text(124, plot.y(i + 0.5) + 4, name, "end", kind.strip())
        tip = f"{name}: {text(value)} ({text(low)} to {text(high)}), {images:,} images"
        if x[0] <= value <= x[1]:
            ends = [min(max(v, x[0]), x[1]) for v in (low, high)]
            plot.line([(ends[0], i + 0.5), (ends[1], i + 0.5)], f"whisker{kind}")
            plot.dot(value, i + 0.5, f"dot{kind}", tip)
        else:
            beyond = value > x[1]
            at = plot.x(x[1] if beyond else x[0])
            words_off = f"off scale: {text(value)}"
            plot.text(at, plot.y(i + 0.5) + 4, words_off, "end" if beyond else "start", "small")
        table.append((name, text(value), f"{text(low)} to {text(high)}", f"{images:,}"))
    columns = ("group", x_title, "95% interval", "images")
    return Chart(title, words, plot.svg(title, words), columns, table, note)
