"""Figures of an evaluation that show where and how a classifier fails."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.store.shown import NONE, Shown
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.flips import Flip
from training.evaluation.classifiers.metrics import Reliability
from training.evaluation.classifiers.reports import units_said
from training.evaluation.classifiers.variants import in_order

__all__ = [
    "RIGHT", "WRONG", "accuracy_by_noise", "flipped_images", "heat_map", "label_text", "name_units",
    "reliability_diagrams", "save", "show",
]  # fmt: skip

RIGHT, WRONG = "#1b7837", "#b2182b"
MIN_SHARE = 0.001
PAIRS_PER_ROW = 2


def save(figure: Figure, path: Path) -> Path:
    """As PNG, written atomically. Raises EvaluationError."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=100, bbox_inches="tight")
    return path


def heat_map(matrix: NDArray[np.int64], class_names: Sequence[str], title: str) -> Figure:
    """The confusion matrix (paper, Figure 14): colours are shares of a label's images, on a logarithmic scale, so that
    rare confusions are visible; numbers are images."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(15, 12.5))
    axis = figure.subplots()
    norm = LogNorm(MIN_SHARE, 1, clip=True)
    drawn = axis.imshow(np.where(matrix > 0, shares, np.nan), cmap="YlOrRd", norm=norm)
    for label, predicted in zip(*np.nonzero(matrix), strict=True):
        dark = norm(shares[label, predicted]) > 0.75
        count = str(matrix[label, predicted])
        axis.text(predicted, label, count, ha="center", va="center", fontsize=6, color="white" if dark else "black")
    ticks = range(len(class_names))
    axis.set_xticks(ticks, [str(label) for label in ticks], fontsize=7)
    axis.set_yticks(ticks, [f"{name}  {label}" for label, name in enumerate(class_names)], fontsize=7)
    axis.set(xlabel="predicted class", ylabel="label", title=title)
    axis.set_xticks(np.arange(-0.5, len(class_names)), minor=True)
    axis.set_yticks(np.arange(-0.5, len(class_names)), minor=True)
    axis.grid(which="minor", color="0.9", linewidth=0.5)
    axis.tick_params(which="minor", length=0)
    bar = figure.colorbar(drawn, ax=axis, label="share of the label's images", fraction=0.04, pad=0.02)
    bar.ax.set_yticks([0.001, 0.01, 0.1, 1], ["≤ 0.1 %", "1 %", "10 %", "100 %"])
    return figure


def reliability_diagrams(by_variant: Mapping[Shown, Reliability], title: str) -> Figure:
    """Accuracy by confidence, a panel per variant: clean, then a row per noise. Grey bars are the share of images."""
    places = _places(by_variant)
    rows, columns = (max(place[axis] for place in places.values()) + 1 for axis in (0, 1))
    figure = Figure(figsize=(2.9 * columns + 0.4, 3.0 * rows + 0.6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat:
        axis.set_visible(False)
    for variant, place in places.items():
        axes[place].set_visible(True)
        _draw_reliability(axes[place], by_variant[variant], variant.variant)
    axes[next(iter(places.values()))].legend(loc="upper left", fontsize=7)
    return figure


def _draw_reliability(axis: Axes, found: Reliability, variant: str) -> None:
    bins = len(found.images)
    middles = (np.arange(bins) + 0.5) / bins
    axis.bar(middles, found.images / found.images.sum(), 1 / bins, color="0.85", label="share of images")
    axis.plot([0, 1], [0, 1], color="0.4", linestyle="--", linewidth=1)
    filled = found.images > 0
    axis.plot(
        found.confidence[filled],
        found.accuracy[filled],
        "o-",
        color="#2166ac",
        markersize=4,
        linewidth=1.2,
        label="accuracy",
    )
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.set_title(f"{variant}: ECE {found.ece:.3f}", fontsize=9)
    axis.set_xlabel("confidence", fontsize=8)
    axis.set_ylabel("accuracy", fontsize=8)
    axis.tick_params(labelsize=7, labelbottom=True, labelleft=True)


def accuracy_by_noise(table: pa.Table) -> Figure:
    """A panel per noise, a line per model from clean through the levels, with 95 % intervals and what they count."""
    rows = table.filter(pc.field("metric") == "accuracy").to_pylist()
    noises = list(dict.fromkeys(row["noise"] for row in rows if row["noise"] != NONE)) or [NONE]
    figure = Figure(figsize=(3.6 * len(noises) + 0.8, 4.2), layout="constrained")
    axes = figure.subplots(1, len(noises), squeeze=False, sharey=True)[0]
    for axis, noise in zip(axes, noises, strict=True):
        here = [row for row in rows if row["noise"] in (noise, NONE)]
        variants = in_order(_shown(row) for row in here)
        for model in dict.fromkeys(row["model"] for row in rows):
            _draw_accuracies(axis, [row for row in here if row["model"] == model], variants, model)
        axis.set_xticks(range(len(variants)), [one.level.replace(NONE, "clean") for one in variants])
        axis.set(title=noise, ylim=(0, 102), xlim=(-0.3, len(variants) - 0.7))
        axis.grid(axis="y", color="0.9")
    axes[0].set_ylabel("accuracy, %, with 95 % interval")
    axes[0].legend(loc="lower left", fontsize=8)
    name_units(figure, rows)
    return figure


def name_units(figure: Figure, rows: Sequence[Mapping[str, Any]]) -> None:
    """Below the figure: what the intervals of these rows of the table count."""
    figure.supxlabel("\n".join(units_said(rows)), fontsize=8)


def _draw_accuracies(axis: Axes, rows: Sequence[Mapping[str, Any]], variants: Sequence[Shown], model: str) -> None:
    places = [variants.index(_shown(row)) for row in rows]
    values, lows, highs = (np.array([100 * row[key] for row in rows]) for key in ("value", "low", "high"))
    order = np.argsort(places)
    errors = np.stack([values - lows, highs - values])[:, order]
    axis.errorbar(np.array(places)[order], values[order], errors, marker="o", markersize=4, capsize=3, label=model)


def flipped_images(
    flips: Sequence[Flip],
    before: Mapping[str, NDArray[Any]],
    after: Mapping[str, NDArray[Any]],
    class_names: Sequence[str],
    variant: str,
    title: str,
) -> Figure:
    """Images that are right before the noise and wrong after it, in pairs (paper, Figure 13)."""
    rows = max(1, -(-len(flips) // PAIRS_PER_ROW))
    figure = Figure(figsize=(4.6 * PAIRS_PER_ROW, 2.9 * rows + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(rows, 2 * PAIRS_PER_ROW, squeeze=False, gridspec_kw={"hspace": 0.06})
    for axis in axes.flat:
        axis.axis("off")
    for number, flip in enumerate(flips):
        row, column = divmod(number, PAIRS_PER_ROW)
        label = label_text(flip.label, class_names)
        clean, noisy = axes[row, 2 * column], axes[row, 2 * column + 1]
        show(clean, before[flip.image_id], f"{flip.image_id}, {flip.confidence_before:.0%} sure:\n{label}", RIGHT)
        predicted = label_text(flip.predicted, class_names)
        show(noisy, after[flip.image_id], f"{variant}, {flip.confidence:.0%} sure:\n{predicted}", WRONG)
    return figure


def label_text(label: int, class_names: Sequence[str]) -> str:
    """The number and name of a class, in at most two lines."""
    name = class_names[label]
    return "\n".join(textwrap.wrap(name if name == str(label) else f"{label} {name}", 26)[:2])


def show(axis: Axes, image: NDArray[Any], title: str, color: str) -> None:
    white = 255 if image.dtype.kind == "u" else 1
    axis.imshow(image, cmap="gray", vmin=0, vmax=white, interpolation="nearest")  # cmap applies to one channel
    axis.set_title(title, fontsize=8, color=color)


def _shown(row: Mapping[str, Any]) -> Shown:
    return Shown(row["noise"], row["level"])


def _places(variants: Iterable[Shown]) -> dict[Shown, tuple[int, int]]:
    """Row and column of the panel of each variant: a row per noise."""
    places: dict[Shown, tuple[int, int]] = {}
    ordered = in_order(variants)
    for row, noise in enumerate(dict.fromkeys(one.noise for one in ordered)):
        own = [one for one in ordered if one.noise == noise]
        places |= {variant: (row, column) for column, variant in enumerate(own)}
    return places
