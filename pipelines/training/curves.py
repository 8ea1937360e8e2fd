"""The seed's figures: accuracy and loss of each head over the epochs, and the layer graph."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from model.layer_graph import layout
from model.recipes import Recipe


def draw_curves(history: Sequence[Mapping[str, float]], recipe: Recipe) -> bytes:
    """A PNG with one row a head: its loss and its score (accuracy, or error in years).

    Args:
        history: one row an epoch, with the names of `losses.scores_from_sums`.
        recipe: whose heads to draw.

    Returns:
        The PNG's bytes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    heads = recipe.heads
    figure = Figure(figsize=(9, 3.1 * len(heads) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(len(heads), 2, squeeze=False)
    epochs = [row["epoch"] for row in history]
    for row, head in enumerate(heads):
        measure = "mae" if f"val_{head.name}_mae" in history[0] else "accuracy"
        titles = {"loss": "loss", "mae": "mean absolute error, years", "accuracy": "accuracy, %"}
        for column, kind in enumerate(("loss", measure)):
            axis, scale = axes[row][column], 100.0 if kind == "accuracy" else 1.0
            for split, style, color in (("train", "--", "#8a8f98"), ("val", "-", "#1f6feb")):
                values = [scale * point[f"{split}_{head.name}_{kind}"] for point in history]
                axis.plot(epochs, values, style, color=color, label=split, marker=".")
            axis.set_title(f"{head.name}: {titles[kind]}", fontsize=10)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.grid(alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].legend(frameon=False)
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    figure.suptitle(recipe.name, fontsize=12)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def draw_network(layers: Sequence[tuple[object, ...]], title: str) -> bytes:
    """A PNG of the layer graph, from the pixels down to the heads, a column a branch.

    Args:
        layers: (name, kind, size, inputs) of each layer, as `layer_graph.layers_of` gives them.
        title: above the graph.

    Returns:
        The PNG's bytes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    depth, at = layout(layers)
    rank = max(depth.values()) + 1
    widest = max(list(depth.values()).count(level) for level in range(rank))
    figure = Figure(figsize=(3.4 * max(2, widest), 0.42 * rank + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis: Any = figure.subplots()
    axis.set(xlim=(0, 1), ylim=(rank, 0))
    axis.axis("off")
    axis.set_title(title, fontsize=11)
    for name, kind, size, sources in layers:
        x, y = at[str(name)]
        for source in str(sources).split(", "):
            if source in at:
                axis.plot(*zip(at[source], (x, y), strict=True), color="#8a8f98", zorder=1)
        shown = "×".join(map(str, size)) if isinstance(size, list | tuple) else str(size)
        axis.text(
            x, y, f"{name}  {kind} {shown}".strip(), fontsize=7, ha="center", va="center", zorder=2,
            bbox={"boxstyle": "round,pad=0.35", "facecolor": "#eef3fb", "edgecolor": "#1f6feb"},
        )  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
