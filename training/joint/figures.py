"""The report's bar charts: the accuracy of each classifier on images of the generator as it learns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluation.classifiers.figures import save

__all__ = ["accuracy_by_iteration", "loss_curves"]

COLORS = {"classic": "#1b6ca8", "robust": "#1b7837"}


def accuracy_by_iteration(table: pa.Table, title: str, path: Path) -> Path:
    """A panel for each kind of classifier, a bar with its 95 % interval for each kept generator; a line for the test
    images. `table` as in comparison.SCHEMA. Raises EvaluationError."""
    rows = table.to_pylist()
    kinds = list(dict.fromkeys(row["classifier"] for row in rows))
    figure = Figure(figsize=(5.2 * len(kinds), 4.2), layout="constrained")
    figure.suptitle(title)
    for axis, kind in zip(figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0], kinds, strict=True):
        _draw(axis, kind, [row for row in rows if row["classifier"] == kind])
    return save(figure, path)


def loss_curves(history: Sequence[Mapping[str, float]], title: str, path: Path) -> Path:
    """The losses of critic, generator and classifiers over the iterations. Raises EvaluationError."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    figure.suptitle(title)
    above, below = figure.subplots(2, 1, sharex=True)
    names = dict.fromkeys(name for checked in history for name in checked if name.startswith("loss/"))
    for name in names:
        points = [(checked["iteration"], checked[name]) for checked in history if name in checked]
        axis = below if "-seed" in name else above
        axis.plot(*zip(*points, strict=True), linewidth=0.9, label=name.removeprefix("loss/"))
    above.set(ylabel="loss of critic and generator")
    below.set(ylabel="loss of classifiers", xlabel="iteration", yscale="log")
    for axis in (above, below):
        axis.legend(loc="upper right", fontsize=8)
        axis.grid(color="0.92")
    return save(figure, path)


def _draw(axis: Axes, kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
    bars = [row for row in rows if row["iteration"] is not None]
    heights = [100 * row["accuracy"] for row in bars]
    ends = [
        [height - 100 * row["low"] for height, row in zip(heights, bars, strict=True)],
        [100 * row["high"] - height for height, row in zip(heights, bars, strict=True)],
    ]
    places = range(len(bars))
    axis.bar(places, heights, yerr=ends, capsize=3, color=COLORS.get(kind, "0.5"), width=0.7)
    for row in rows:
        if row["iteration"] is None:
            label = f"test images, {row['shown']}: {row['accuracy']:.2%}"
            axis.axhline(100 * row["accuracy"], color="0.3", linestyle="--", linewidth=1, label=label)
    axis.set_xticks(places, [f"{row['iteration']:,}" for row in bars], rotation=45, fontsize=8)
    axis.set(title=kind, xlabel="iteration of the generator", ylabel="accuracy on generated images, %", ylim=(0, 105))
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), fontsize=8, frameon=False)
