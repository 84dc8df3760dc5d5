"""What attacks leave of the accuracy of each network, in order of their strength."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.evaluation.classifiers.metrics import Measurement
from training.evaluation.report.contract import Block, Cell, Grid, Picture, Prose, Section, table
from training.evaluation.report.style import COLOURS, MARKERS, grid_of_axes
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.curves import Curve

__all__ = ["attack_section"]

UNITS: Mapping[str, str] = {"snr": "dB", "eps": "of [0, 1]", "pixels": "px"}
AXES: Mapping[str, str] = {
    "snr": "signal-to-noise ratio, dB", "eps": "eps, on the scale of [0, 1]", "pixels": "pixels that may be changed",
}  # fmt: skip


def attack_section(subjects: Sequence[Subject], curves: Sequence[Curve], flags: Sequence[str]) -> Section | None:
    """`curves` and `flags` as in Result. Of each recipe the attacked networks are shown one by one, since an attack is
    made against one network; None if there are no adversarial images of a known strength."""
    letters = {model: subject.letter for subject in subjects for model in subject.models}
    own = [curve for curve in curves if curve.model in letters]
    if not own:
        return None
    said = (
        "Adversarial images are made against one network (white box), or against another one (transfer). An attack "
        "that is too weak makes a network look safe: the list says where one may be."
    )
    blocks: list[Block] = [Prose([said]), _grid(own, letters), _picture(own, letters)]
    if flags:
        blocks.append(Prose(flags, listed=True))
    return Section("attacks", "What do attacks leave?", blocks)


def _name(curve: Curve, letters: Mapping[str, str]) -> str:
    return f"{letters[curve.model]}: {curve.noise}{' (transfer)' if curve.transfer else ''}"


def _grid(curves: Sequence[Curve], letters: Mapping[str, str]) -> Grid:
    rows, data = [], []
    for curve in curves:
        for point in curve.points:
            if point.strength is None:
                continue
            strength = f"{point.strength.value:.4g} {UNITS[curve.kind]}"
            rows.append([Cell(_name(curve, letters), strength), _cell(point.accuracy), _cell(point.cumulative)])
            data.append(
                {
                    "model": curve.model, "attack": curve.noise, "transfer": str(curve.transfer).lower(),
                    "kind": curve.kind, "strength": point.strength.value, **_values("accuracy", point.accuracy),
                    **_values("cumulative", point.cumulative), "images": point.accuracy.images,
                }
            )  # fmt: skip
    caption = (
        "Images right under attack, %, with 95 % interval; cumulative: right at this strength and at all weaker ones"
    )
    texts = {"model", "attack", "transfer", "kind"}
    return Grid("attacks", caption, ["attack", "accuracy", "cumulative"], rows, table(data, {"images"}, texts))


def _cell(found: Measurement) -> Cell:
    if found.value is None or found.low is None or found.high is None:
        return Cell("unknown")
    return Cell(f"{100 * found.value:.1f}", f"{100 * found.low:.1f} – {100 * found.high:.1f}", found.value)


def _values(name: str, found: Measurement) -> dict[str, Any]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _picture(curves: Sequence[Curve], letters: Mapping[str, str]) -> Picture:
    kinds = list(dict.fromkeys(curve.kind for curve in curves))
    figure, axes = grid_of_axes(len(kinds), 3, (4.2, 3.4))
    for axis, kind in zip(axes, kinds, strict=True):
        for number, curve in enumerate(curve for curve in curves if curve.kind == kind):
            points = [
                point for point in curve.points if point.strength is not None and point.accuracy.value is not None
            ]
            axis.plot(
                [point.strength.value for point in points if point.strength],
                100 * np.array([point.accuracy.value for point in points], np.float64),
                color=COLOURS[number % len(COLOURS)], marker=MARKERS[number % len(MARKERS)], markersize=4, linewidth=1,
                label=_name(curve, letters),
            )  # fmt: skip
        axis.set(xlabel=AXES[kind], ylim=(0, 102))
        if kind == "snr":
            axis.invert_xaxis()
        axis.grid(visible=True)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=7)
    axes[0].set_ylabel("accuracy, %")
    caption = "Accuracy under attack, stronger attacks to the right."
    return Picture("accuracy_under_attack", figure, caption, caption)
