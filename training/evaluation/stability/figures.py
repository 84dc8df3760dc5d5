"""Figures of a measurement of stability."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluation.classifiers.figures import RIGHT, WRONG, label_text, show
from training.evaluation.stability.measuring import Measured

__all__ = ["Example", "distances_by_class", "perturbed_images", "slopes_and_distances"]

MOST_CLASSES_IN_COLOUR = 10
MOST_NAMES = 60
SIDE_INCHES = 1.5


class Example(NamedTuple):
    """An image (S, S, C) in [0, 1] before and after DeepFool; `row` is its place among the measured."""

    row: int
    before: NDArray[np.float32]
    after: NDArray[np.float32]


def perturbed_images(measured: Measured, least: Sequence[Example], most: Sequence[Example], title: str) -> Figure:
    """The least and the most stable images: before, after, and the perturbation on grey, amplified so that its largest
    value is white or black."""
    rows = max(1, len(least), len(most))
    figure = Figure(figsize=(SIDE_INCHES * 6 + 0.6, (SIDE_INCHES + 0.55) * rows + 0.9), layout="constrained")
    figure.suptitle(title, fontsize=10)
    parts = figure.subfigures(1, 2, squeeze=False)[0]
    for part, name, examples in zip(parts, ("least", "most"), (least, most), strict=True):
        part.suptitle(f"{name} stable", fontsize=9)
        axes = part.subplots(rows, 3, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for row, example in zip(axes, examples, strict=False):
            _draw_example(row, measured, example)
    return figure


def _draw_example(axes: Sequence[Axes], measured: Measured, example: Example) -> None:
    found, row = measured.found, example.row
    label, becomes = (label_text(int(of[row]), found.class_names) for of in (found.labels, measured.becomes))
    change = example.after - example.before
    factor = 0.5 / (float(np.abs(change).max()) or 1.0)
    show(axes[0], example.before, f"{found.image_ids[row]}\n{label}", RIGHT)
    show(axes[1], example.after, f"{measured.snr_db[row]:.1f} dB\n{becomes}", WRONG)
    show(
        axes[2],
        np.clip(0.5 + factor * change, 0, 1),
        f"perturbation × {factor:.3g}\n‖r‖ = {measured.distance[row]:.3f}",
        "black",
    )
    for axis in axes:
        axis.title.set_fontsize(6)


def slopes_and_distances(measured: Measured, correlations: tuple[float | None, float | None], title: str) -> Figure:
    """DeepFool's distance by the first-order distance, and by the largest slope in the ball, both logarithmic;
    `correlations` are their rank correlations."""
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(1, 2, sharey=True)
    rows = measured.moved
    labels = measured.found.labels[rows]
    names = ("first-order distance, margin / ‖∇ margin‖", "largest ‖∇ margin‖ in the ball")
    for axis, values, name, correlation in zip(
        axes, (measured.first_order, measured.slope_in_ball), names, correlations, strict=True
    ):
        _scatter(axis, values[rows], measured.distance[rows], labels, measured.found.class_names)
        axis.set(xscale="log", yscale="log", xlabel=name)
        axis.set_title("" if correlation is None else f"rank correlation {correlation:.2f}", fontsize=9)
    ends = [float(measured.first_order[rows].min(initial=1)), float(measured.first_order[rows].max(initial=1))]
    axes[0].plot(ends, ends, color="0.4", linestyle="--", linewidth=1, label="equal")
    axes[0].set_ylabel("DeepFool's distance ‖r‖₂")
    axes[0].legend(loc="lower right", fontsize=7)
    return figure


def _scatter(
    axis: Axes, values: NDArray[Any], distances: NDArray[Any], labels: NDArray[np.int64], names: Sequence[str]
) -> None:
    there = np.unique(labels)
    if len(there) > MOST_CLASSES_IN_COLOUR:
        axis.scatter(values, distances, s=6, alpha=0.5, color="#2166ac", label=f"{len(there)} classes")
        return
    for label in there:
        own = labels == label
        axis.scatter(values[own], distances[own], s=10, alpha=0.6, label=names[label])


def distances_by_class(rows: Sequence[dict[str, Any]], title: str) -> Figure:
    """The median of ‖r‖ / ‖x‖ of each class with its interval, the least stable class on top."""
    chosen = [row for row in rows if row["metric"] == "distance_relative_median" and row.get("label") is not None]
    chosen = sorted((row for row in chosen if row["value"] is not None), key=lambda row: -row["value"])
    figure = Figure(figsize=(7, 0.24 * max(4, len(chosen)) + 1.2), layout="constrained")
    axis = figure.subplots()
    for place, row in enumerate(chosen):
        low, high = (row["value"] if row[end] is None else row[end] for end in ("low", "high"))
        axis.errorbar(
            row["value"],
            place,
            xerr=[[row["value"] - low], [high - row["value"]]],
            fmt="o",
            color="#2166ac",
            capsize=3,
            markersize=4,
        )
    axis.set_yticks(range(len(chosen)), [str(row["class_name"])[:MOST_NAMES] for row in chosen], fontsize=8)
    axis.set(xlabel="‖r‖₂ / ‖x‖₂ of DeepFool, median with 95 % interval", ylim=(-0.6, len(chosen) - 0.4))
    axis.set_title(title, fontsize=10)
    axis.grid(axis="x", color="0.9")
    return figure
