"""Figures of attacks: accuracy over their strength, and images with their perturbations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluation.classifiers.figures import RIGHT, WRONG, label_text, name_units, show
from training.evaluation.classifiers.flips import Flip
from training.evaluation.classifiers.metrics import Measurement
from training.evaluation.robustness.curves import Curve, Point

__all__ = ["accuracy_over_strength", "attacked_images", "perturbation"]

MAGNIFICATION = 20
START_GAP_DB = 5.0
AXIS_NAMES = {
    "snr": "signal-to-noise ratio, dB: stronger attacks to the right",
    "eps": "eps, on the scale of [0, 1]",
    "pixels": "pixels that may be changed",
}


def accuracy_over_strength(curves: Sequence[Curve]) -> Figure:
    """For curves of one kind: a row of panels per model, white box and transfer separate; bands are 95 % intervals, and
    dashed lines count an image as wrong at all strengths above the first that it fails at."""
    models = list(dict.fromkeys(curve.model for curve in curves))
    settings = sorted({curve.transfer for curve in curves})
    figure = Figure(figsize=(5.6 * len(settings) + 0.4, 4.0 * len(models) + 0.4), layout="constrained")
    axes = figure.subplots(len(models), len(settings), squeeze=False, sharex=True, sharey=True)
    start = _start(curves)
    for row, model in enumerate(models):
        for column, transfer in enumerate(settings):
            own = [curve for curve in curves if curve.model == model and curve.transfer == transfer]
            _draw_curves(axes[row, column], own, start, f"{model}: {'transfer' if transfer else 'white box'}")
    _name_strengths(axes[-1], curves, start)
    name_units(figure, [point.accuracy._asdict() for curve in curves for point in curve.points])
    return figure


def perturbation(before: NDArray[Any], after: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an attack added to an image of 256 grey levels or of [0, 1], × 20 around mid-grey, clipped to [0, 1]."""
    shown: NDArray[np.float32] = np.clip(0.5 + MAGNIFICATION * (after - _unit(before)), 0, 1)
    return shown


def attacked_images(
    flips: Sequence[Flip],
    before: Mapping[str, NDArray[Any]],
    after: Mapping[str, NDArray[np.float32]],
    class_names: Sequence[str],
    variant: str,
    title: str,
) -> Figure:
    """A row per image: before the attack, what was added × 20, and after it, with both predictions."""
    figure = Figure(figsize=(7.6, 2.75 * max(1, len(flips)) + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(max(1, len(flips)), 3, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for (clean, added, attacked), flip in zip(axes, flips, strict=False):
        source, changed = before[flip.image_id], after[flip.image_id]
        label, predicted = label_text(flip.label, class_names), label_text(flip.predicted, class_names)
        show(clean, source, f"{flip.image_id}, {flip.confidence_before:.0%} sure:\n{label}", RIGHT)
        show(added, perturbation(source, changed), f"perturbation × {MAGNIFICATION}", "black")
        show(attacked, changed, f"{variant}, {flip.confidence:.0%} sure:\n{predicted}", WRONG)
    return figure


def _draw_curves(axis: Axes, curves: Sequence[Curve], start: float, title: str) -> None:
    axis.set_title(title, fontsize=10)
    axis.set(ylim=(0, 102), ylabel="accuracy, %")
    axis.grid(color="0.9")
    for number, curve in enumerate(curves):
        places = [_place(point, start) for point in curve.points]
        colour = f"C{number}"
        values, lows, highs = _per_cents([point.accuracy for point in curve.points])
        axis.plot(places, values, "o-", color=colour, markersize=4, label=curve.noise)
        axis.fill_between(places, lows, highs, color=colour, alpha=0.2, linewidth=0)
        cumulative, _, _ = _per_cents([point.cumulative for point in curve.points])
        axis.plot(places, cumulative, "--", color=colour, linewidth=1, label=f"{curve.noise}, cumulative")
    if curves:
        axis.legend(loc="lower left", fontsize=8)
    else:
        axis.axis("off")


def _start(curves: Sequence[Curve]) -> float:
    """The position of the images before the attack: an eps of 0 or 0 pixels, and for ratios next to the weakest
    attack."""
    if curves[0].kind != "snr":
        return 0.0
    return min(point.strength.rank for curve in curves for point in curve.points if point.strength) - START_GAP_DB


def _place(point: Point, start: float) -> float:
    return point.strength.rank if point.strength else start


def _name_strengths(axes: Sequence[Axes], curves: Sequence[Curve], start: float) -> None:
    kind = curves[0].kind
    names = {
        _place(point, start): f"{point.strength.value:.4g}" if point.strength else "no attack"
        for curve in curves
        for point in curve.points
    }
    for axis in axes:
        axis.set_xticks(list(names), list(names.values()), rotation=45 if kind == "eps" else 0)
        axis.set_xlabel(AXIS_NAMES[kind])


def _per_cents(measured: Sequence[Measurement]) -> NDArray[np.float64]:
    """(3, N): values, lower and upper bounds."""
    return 100 * np.array([one[1:4] for one in measured], np.float64).T


def _unit(image: NDArray[Any]) -> NDArray[np.float32]:
    return image.astype(np.float32) / np.float32(255) if image.dtype == np.uint8 else image
