"""What charts are made of beside matplotlib's lines: marks with tooltips, and short numbers."""

from collections.abc import Iterable, Sequence
from typing import Any

from pipelines.charts import page_svg
from pipelines.charts.chart import MUTED, PLAIN


def tip(artist: Any, text: str) -> None:
    """Text that a page shows while the pointer is on a mark."""
    artist.set_gid(page_svg.TIP + text)


def bars(
    draw: Any,
    starts: Sequence[float],
    lengths: Sequence[float],
    width: float,
    tips: Iterable[str],
    *,
    colour: str = PLAIN,
    name: str | None = None,
    base: Sequence[float] | float = 0,
) -> None:
    """A bar from each start along its axis, standing on `base`.

    Args:
        draw: `axes.bar` or `axes.barh`.
        starts: where each bar begins on the axis of the groups.
        lengths: of the bars, along the other axis.
        width: of every bar.
        tips: a text for each bar.
        colour: of all of them.
        name: in the legend, if there is one.
        base: where bars begin along their length.
    """
    drawn = draw(starts, lengths, width, base, align="edge", color=colour, label=name)
    for bar, text in zip(drawn, tips, strict=True):
        tip(bar, text)


def cell(axes: Any, place: tuple[float, float], side: float, strength: float, text: str) -> None:
    """A square of a heat map from its corner at `place`; `strength` 0-1 is its opacity."""
    from matplotlib.patches import Rectangle

    square = Rectangle(place, 0.97 * side, 0.97 * side, color=PLAIN, alpha=strength)
    tip(axes.add_patch(square), text)


def dot(axes: Any, x: float, y: float, text: str, alpha: float = 1) -> None:
    """A point."""
    [drawn] = axes.plot(x, y, "o", color=PLAIN, markersize=8, markeredgewidth=0, alpha=alpha)
    tip(drawn, text)


def diagonal(axes: Any, end: float) -> None:
    """The dashed line on which both axes say the same, and both axes from 0 to `end`."""
    axes.plot([0, end], [0, end], color=MUTED, linewidth=1, linestyle=(0, (5, 4)))
    axes.set(xlim=(0, end), ylim=(0, end))


def number(value: float, _: int | None = None) -> str:
    """`12,345`, `25`, `1.2M`: short enough for an axis, whose formatter it can be."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scaled = value / (1e3 if unit == "k" else size)
            return f"{scaled:.3g}{unit}"
    return f"{value:,.0f}"


def percent(value: float, _: int | None = None) -> str:
    """`25%`, or `0.5%` between whole percents; can be an axis's formatter."""
    return f"{value:.0%}" if abs(value * 100 - round(value * 100)) < 1e-6 else f"{value:.1%}"
