"""A chart: its words, its numbers and how matplotlib draws it, for a page (SVG) or a file (PNG)."""

import dataclasses
import io
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from pipelines.charts import page_svg

# The page's colours by role, as they are in light; page.css gives each its shade in the dark.
INK, MUTED, LINE, CARD = "#1b2330", "#5a6577", "#dfe3ea", "#ffffff"
FEMALE, MALE, OTHER, PLAIN, BAND = "#c2570c", "#2563a8", "#9aa3b2", "#2f6f8f", "#2e8b57"
ROLES = {
    "ink": INK, "muted": MUTED, "line": LINE, "card": CARD, "female": FEMALE, "male": MALE,
    "other": OTHER, "plain": PLAIN, "band": BAND,
}  # fmt: skip
TEXT_PX = 12
_STYLE: Any = {
    "figure.dpi": 72,  # so that a point is a pixel, of the image and of its fonts
    "figure.constrained_layout.h_pad": 6 / 72,
    "figure.constrained_layout.w_pad": 6 / 72,
    "figure.facecolor": CARD,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.labelcolor": MUTED,
    "axes.labelpad": 8,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": TEXT_PX + 1,
    **{f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")},
    **{f"{axis}.labelcolor": MUTED for axis in ("xtick", "ytick")},
    **{f"{axis}.labelsize": TEXT_PX for axis in ("xtick", "ytick")},
    **{f"{axis}.major.pad": 6 for axis in ("xtick", "ytick")},
    **{f"{axis}.major.size": 0 for axis in ("xtick", "ytick")},
    "font.size": TEXT_PX,
    "grid.color": LINE,
    "grid.linewidth": 1,
    "legend.borderaxespad": 0,
    "legend.fontsize": TEXT_PX,
    "legend.frameon": False,
    "legend.handleheight": 0.9,
    "legend.handlelength": 0.9,
    "legend.labelcolor": MUTED,
    "lines.linewidth": 2.5,
    "patch.linewidth": 0,
    "svg.fonttype": "none",  # text stays text
    "text.color": MUTED,
    "text.parse_math": False,  # a group may be named "$"
}


@dataclasses.dataclass(frozen=True)
class Chart:
    """A figure as text, in numbers and as a drawing.

    Attributes:
        title: its heading.
        description: what it shows, also for those who do not see it.
        columns: names of the numbers behind it.
        rows: these numbers, as text or as they are.
        draw: puts its marks into matplotlib's axes.
        x_title: below the horizontal axis.
        y_title: beside the vertical axis.
        size: width and height in pixels.
        grid: lines across the axis `x` or `y`.
        note: what else a reader must know.
        wide: has the page's width to itself, and scrolls where the screen is narrower than it.
    """

    title: str
    description: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]
    draw: Callable[[Any], None]
    x_title: str = ""
    y_title: str = ""
    size: tuple[int, int] = (480, 300)
    grid: Literal["x", "y"] | None = "y"
    note: str = ""
    wide: bool = False

    @property
    def svg(self) -> str:
        """The drawing as an SVG element for HTML, coloured by the page's CSS variables."""
        with _figure(self.size) as figure:
            self.draw_into(figure.subplots())
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", transparent=True)
        label = f"{self.title}. {self.description}"
        return page_svg.for_page(buffer.getvalue(), label, ROLES, TEXT_PX)

    def draw_into(self, axes: Any) -> None:
        """Draw into matplotlib's axes: grid, marks, titles of the axes, and a legend if needed."""
        if self.grid:
            axes.grid(axis=self.grid)
        axes.set_xlabel(self.x_title)
        axes.set_ylabel(self.y_title)
        self.draw(axes)
        if names := axes.get_legend_handles_labels()[1]:
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(names))
        for artist in axes.findobj():
            artist.set_clip_on(False)  # a point on the edge is drawn whole


def png(charts: Sequence[Chart], title: str, columns: int = 1) -> bytes:
    """Charts side by side, each below its title.

    Args:
        charts: drawn from left to right, then down.
        title: above all of them.
        columns: charts in a row.

    Returns:
        A PNG in light colours, two pixels for each pixel of the charts' `size`.
    """
    rows = math.ceil(len(charts) / columns)
    width, height = (max(chart.size[side] for chart in charts) for side in (0, 1))
    with _figure((width * columns, (height + 20) * rows + 30)) as figure:
        figure.suptitle(title, fontsize=TEXT_PX + 3, color=INK)
        grid: Any = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(charts) :]:
            axes.remove()
        for chart, axes in zip(charts, grid.flat, strict=False):
            chart.draw_into(axes)
            axes.set_title(chart.title if len(charts) > 1 else "")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=2 * _STYLE["figure.dpi"])
    return buffer.getvalue()


@contextmanager
def _figure(size: tuple[int, int]) -> Generator[Any, None, None]:
    """An empty figure of `size` pixels; what is drawn meanwhile has the page's look."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        inches = (size[0] / _STYLE["figure.dpi"], size[1] / _STYLE["figure.dpi"])
        yield Figure(figsize=inches, layout="constrained")
