"""The looks that all figures of a report share."""

import contextlib
import re
from collections.abc import Iterator
from io import StringIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

__all__ = ["COLOURS", "MARKERS", "bounds", "figure_style", "grid_of_axes", "inline_svg"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""M. Okabe, K. Ito, "Color universal design", 2008: told apart with deuteranopia, on white and on black."""
MARKERS = ("o", "s", "^", "D", "v", "P")
INK = "#010203"
"""What is black in a file, and takes the colour of the page's text inside the page."""
FAINT = "#80808059"


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Figures that are made inside have no background, and text that `inline_svg` gives the page's colour."""
    with mpl.rc_context(
        {
            "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "axes.titlecolor": INK,
            "xtick.color": INK, "ytick.color": INK, "figure.facecolor": "none", "axes.facecolor": "none",
            "savefig.facecolor": "none", "legend.frameon": False, "grid.color": FAINT, "axes.spines.top": False,
            "axes.spines.right": False, "font.size": 9.0, "axes.titlesize": 10.0, "svg.fonttype": "none",
            "axes.titley": 1.0,  # without, each drawing measures all tick labels in case they are above the panel
        }
    ):  # fmt: skip
        yield


def grid_of_axes(
    panels: int, columns: int, size: tuple[float, float], shared: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure with exactly so many panels, in rows of `columns`; `size` is that of one panel, in inches."""
    columns = min(columns, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=shared).ravel().tolist()
    for axis in axes[panels:]:
        axis.remove()
    return figure, axes[:panels]


def bounds(figure: Figure) -> Bbox:
    """What savefig(bbox_inches="tight") would show, in inches. The layout is computed at the first call and then kept:
    savefig computes it again for each file."""
    if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure.get_tightbbox().padded(float(mpl.rcParams["savefig.pad_inches"]))


def inline_svg(figure: Figure, name: str) -> str:
    """The figure as an element of a page: no file header, ids that only this figure has, and ink in the page's
    colour. The same figure gives the same text."""
    text = StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", bbox_inches=bounds(figure), metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    used = set(re.findall(r'#([\w.-]+)["\)]', svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return re.sub(r'(<svg[^>]*?) width="([^"]*)"', r'\1 style="width: \2"', svg, count=1)
