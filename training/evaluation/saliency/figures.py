"""A figure of images before and after a noise with the maps of both."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from training.evaluation.classifiers.figures import RIGHT, WRONG, label_text, show
from training.evaluation.classifiers.flips import Flip

__all__ = ["Example", "Panel", "saliency_figure"]

SIDE_INCHES = 1.35
PERCENTILE = 99
"""Of a map: white. The largest value of a gradient is often a single pixel."""


class Example(NamedTuple):
    """An image (S, S, C) before and after, and its maps (S, S) by name."""

    flip: Flip
    before: NDArray[Any]
    after: NDArray[Any]
    maps_before: Mapping[str, NDArray[np.float32]]
    maps_after: Mapping[str, NDArray[np.float32]]


class Panel(NamedTuple):
    title: str
    examples: Sequence[Example]


def saliency_figure(panels: Sequence[Panel], class_names: Sequence[str], title: str, stacked: bool = False) -> Figure:
    """Panels side by side, or `stacked`; a row for each example: the image and its maps for the predicted class, before
    and after. Maps are scaled each by itself."""
    rows = max(1, *(len(panel.examples) for panel in panels))
    names = next((list(one.maps_before) for panel in panels for one in panel.examples), [])
    columns = 2 * (1 + len(names))
    down, across = (len(panels), 1) if stacked else (1, len(panels))
    size = SIDE_INCHES * columns * across, ((SIDE_INCHES + 0.45) * rows + 0.4) * down + 0.4
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11)
    parts = figure.subfigures(down, across, wspace=0.02, squeeze=False)
    for part, panel in zip(parts.ravel(), panels, strict=True):
        _draw_panel(part, panel, rows, names, class_names)
    return figure


def _draw_panel(part: SubFigure, panel: Panel, rows: int, names: Sequence[str], class_names: Sequence[str]) -> None:
    part.suptitle(panel.title if panel.examples else f"{panel.title}: none", fontsize=10)
    axes = part.subplots(rows, 2 * (1 + len(names)), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for row, example in zip(axes, panel.examples, strict=False):
        flip = example.flip
        label, predicted = (label_text(number, class_names) for number in (flip.label, flip.predicted))
        colour = RIGHT if flip.predicted == flip.label else WRONG
        half = 1 + len(names)
        show(row[0], example.before, f"{flip.image_id}, {flip.confidence_before:.0%}\n{label}", RIGHT)
        _draw_maps(row[1:half], example.maps_before, names)
        show(row[half], example.after, f"{flip.confidence:.0%}\n{predicted}", colour)
        _draw_maps(row[half + 1 :], example.maps_after, names)
        for axis in (row[0], row[half]):
            axis.title.set_fontsize(6)


def _draw_maps(axes: Sequence[Axes], maps: Mapping[str, NDArray[np.float32]], names: Sequence[str]) -> None:
    for axis, name in zip(axes, names, strict=True):
        white = float(np.percentile(maps[name], PERCENTILE)) or 1.0
        axis.imshow(maps[name], cmap="inferno", vmin=0, vmax=white, interpolation="nearest")
        axis.set_title(name, fontsize=6)
