"""How a training went: each measure of train and val over the epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.charts import chart, marks
from pipelines.charts.chart import FEMALE, PLAIN, Chart

History = Sequence[Mapping[str, float]]


def curves(history: History) -> list[Chart]:
    """A chart for each measure: loss and score of each head, then their sum.

    Of both splits where there is a val split, else of train alone, as of a final network.

    Args:
        history: one row an epoch, with the names of `losses.scores_from_sums`.
    """
    first = history[0] if history else {}
    names = [key.removeprefix("train_") for key in first if key.startswith("train_")]
    measured = [name for name in names if f"val_{name}" in first] or names
    return [_curve(history, name) for name in sorted(measured, key=lambda name: name == "loss")]


def curves_png(history: History, title: str) -> bytes:
    """All curves in one image: a row for each head, and the total loss below."""
    return chart.png(curves(history), title, columns=2)


def _curve(history: History, name: str) -> Chart:
    """One measure of train and val over the epochs."""
    epochs = [row["epoch"] for row in history]
    splits = {
        split: [row[f"{split}_{name}"] for row in history]
        for split in ("train", "val")
        if f"{split}_{name}" in history[0]
    }
    shares = name.endswith("accuracy")

    def draw(axes: Any) -> None:
        mark = "o" if len(epochs) == 1 else None  # a line needs two points
        axes.plot(epochs, splits["train"], color=FEMALE, linewidth=2, label="train", marker=mark)
        if "val" in splits:
            axes.plot(epochs, splits["val"], color=PLAIN, label="val", marker=mark)
        axes.locator_params(axis="x", integer=True)
        if shares:
            axes.yaxis.set_major_formatter(marks.percent)

    title = name.replace("_", " ").replace("mae", "mean absolute error")
    ends = ", ".join(f"{values[-1]:.3g} on {split}" for split, values in splits.items())
    rows = [
        (int(epoch), *(f"{value:.4g}" for value in values))
        for epoch, *values in zip(epochs, *splits.values(), strict=True)
    ]
    return Chart(
        title, f"{title} by epoch; at the end {ends}.", ("epoch", *splits), rows, draw,
        x_title="epoch", y_title="years" if name.endswith("mae") else "",
    )  # fmt: skip
