"""The layer graph of a network, from the pixels down to the heads, a column for each branch."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from model.layer_graph import Layer
from pipelines.charts import chart, marks
from pipelines.charts.chart import CARD, INK, MUTED, PLAIN, Chart

_COLUMN_PX, _ROW_PX = 340, 30  # of a box with "stage1_block1_shortcut_pool: AveragePooling2D 2×2"
_TEXT_PX = 11


def layer_graph(layers: Sequence[Layer]) -> Chart:
    """Boxes from top to bottom; lines say whose output a layer takes.

    Args:
        layers: of `layer_graph.layers_of`, at least one.
    """
    place = _places(layers)
    depth = 1 + int(max(y for _, y in place.values()))
    branches = max(Counter(y for _, y in place.values()).values())
    half = 0.94 / max(2, branches) / 2

    def draw(axes: Any) -> None:
        from matplotlib.patches import Rectangle

        axes.set(xlim=(0, 1), ylim=(depth, 0), xticks=[], yticks=[])
        for layer in layers:
            x, y = place[layer.name]
            for source in layer.sources:
                xs, ys = _line_points(place[source], (x, y), half)
                axes.plot(xs, ys, color=MUTED, linewidth=1, zorder=1)
            box = Rectangle((x - half, y - 0.38), 2 * half, 0.76, zorder=2)
            box.set(facecolor=CARD, edgecolor=PLAIN, linewidth=1)
            axes.add_patch(box)
            text = f"{layer.name}: {layer.kind} {layer.size}".strip()
            marks.tip(box, text)
            axes.text(x, y, text, ha="center", va="center", size=_TEXT_PX, color=INK, zorder=3)

    return Chart(
        "Layer graph", f"The layer graph from pixels to heads, {len(layers)} layers.",
        ("layer", "kind"), [(layer.name, layer.kind) for layer in layers], draw,
        size=(_COLUMN_PX * max(2, branches), _ROW_PX * depth + 10), grid=None, wide=True,
    )  # fmt: skip


def network_png(layers: Sequence[Layer], title: str) -> bytes:
    """The layer graph as a PNG below `title`."""
    return chart.png([layer_graph(layers)], title)


def _places(layers: Sequence[Layer]) -> dict[str, tuple[float, float]]:
    """Middle of each layer's box: x in 0-1, y in rows; a row below the lowest of its sources."""
    row: dict[str, int] = {}
    for layer in layers:
        row[layer.name] = 1 + max((row[source] for source in layer.sources), default=-1)
    place: dict[str, tuple[float, float]] = {}
    for level in set(row.values()):
        names = [name for name in row if row[name] == level]
        for index, name in enumerate(names):
            place[name] = (index + 0.5) / len(names), level + 0.5
    return place


def _line_points(
    start: tuple[float, float], end: tuple[float, float], half: float
) -> tuple[list[float], list[float]]:
    """A line between two boxes, round those between them: xs and ys."""
    (x0, y0), (x1, y1) = start, end
    if x0 == x1 and y1 - y0 > 1:
        side = x0 + half + 0.012
        return [x0, side, side, x1], [y0, y0, y1, y1]
    return [x0, x1], [y0, y1]
