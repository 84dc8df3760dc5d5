"""Adversarial images compared with the images that were attacked: accuracy over strength, and the size of successful
perturbations."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import quantile_test, t

from training.evaluation.classifiers.attack_facts import Kind, Strength
from training.evaluation.classifiers.metrics import Measurement, wilson
from training.evaluation.classifiers.predicting import Predictions, on_same_images

__all__ = ["Curve", "Point", "find_curves", "measure_robustness"]

Measured = Mapping[tuple[str, str], Predictions]


class Point(NamedTuple):
    """`strength` is None for the images that were attacked. `cumulative` counts an image as right if it is right at
    this strength and at all weaker ones."""

    variant: str
    strength: Strength | None
    accuracy: Measurement
    cumulative: Measurement


class Curve(NamedTuple):
    """One model under one attack, from the images that were attacked (if they were evaluated) to the strongest attack.
    All points are of the same images, those that all of the variants have."""

    model: str
    noise: str
    transfer: bool
    kind: Kind
    points: tuple[Point, ...]


def find_curves(measured: Measured) -> list[Curve]:
    """The curves of `measured`, by model and variant as in Predictions.shown, for all variants with a strength.
    Cumulative accuracy cannot increase: an image that fails at 50 dB also counts as failed at 33 (Parseval report,
    section 5)."""
    families: dict[tuple[str, str, Kind], list[tuple[Strength, str]]] = {}
    for (model, variant), found in measured.items():
        if found.attack and (strength := found.attack.strength):
            curve = found.attack.transferred(found.attack.curve) if found.transfer else found.attack.curve
            families.setdefault((model, curve, strength.kind), []).append((strength, variant))
    return [
        _curve(model, curve, kind, sorted(variants, key=lambda one: one[0].rank), measured)
        for (model, curve, kind), variants in families.items()
    ]


def measure_robustness(measured: Measured) -> dict[tuple[str, str], list[Measurement]]:
    """accuracy_cumulative of all variants with a strength. If the images that were attacked were evaluated too:
    success, the share fooled among those that the model predicts correctly before the attack; and over the fooled ones
    relative_perturbation, the mean of ‖δ‖₂ / ‖x‖₂ with Student's interval, and relative_perturbation_median with that
    of the order statistics (S. Moosavi-Dezfooli et al., "DeepFool", CVPR 2016, use the mean over all images). Also
    robust_accuracy, if the attack is the ensemble and was made against this model."""
    rows: dict[tuple[str, str], list[Measurement]] = {}
    for curve in find_curves(measured):
        for point in curve.points:
            if point.strength:
                rows[curve.model, point.variant] = [point.cumulative]
    for (model, variant), found in measured.items():
        if found.attack and found.attack.attack == "ensemble" and not found.transfer:
            rows.setdefault((model, variant), []).append(_share("robust_accuracy", found.right))
        if found.attack and (before := measured.get((model, found.attack.source))):
            rows.setdefault((model, variant), []).extend(_success(*on_same_images(before, found)))
    return rows


def _curve(
    model: str,
    noise: str,
    kind: Kind,
    variants: Iterable[tuple[Strength, str]],
    measured: Measured,
) -> Curve:
    points: list[Point] = []
    named: list[tuple[Strength | None, str]] = [*variants]
    weakest = named[0][1]
    first = measured[model, weakest]
    if first.attack and (model, first.attack.source) in measured:
        named.insert(0, (None, first.attack.source))
    same = on_same_images(*(measured[model, variant] for _, variant in named))
    unbroken = np.ones(len(same[0].labels), bool)
    for (strength, variant), found in zip(named, same, strict=True):
        unbroken &= found.right
        points.append(
            Point(variant, strength, _share("accuracy", found.right), _share("accuracy_cumulative", unbroken))
        )
    return Curve(model, noise, first.transfer, kind, tuple(points))


def _success(before: Predictions, after: Predictions) -> list[Measurement]:
    assert after.attack is not None
    fooled = before.right & ~after.right
    relative = after.attack.relative_perturbations[fooled]
    return [_share("success", fooled[before.right]), *_spread(relative[np.isfinite(relative)])]


def _spread(relative: NDArray[np.float64]) -> list[Measurement]:
    names = "relative_perturbation", "relative_perturbation_median"
    if not len(relative):
        return [Measurement(name, None) for name in names]
    mean, median = float(relative.mean()), float(np.median(relative))
    if len(relative) == 1:
        return [Measurement(names[0], mean), Measurement(names[1], median)]
    half = float(t.ppf(0.975, len(relative) - 1) * relative.std(ddof=1) / math.sqrt(len(relative)))
    order = quantile_test(relative, q=median, p=0.5).confidence_interval(0.95)
    ends = (None if math.isnan(end) else float(end) for end in order)
    return [Measurement(names[0], mean, mean - half, mean + half), Measurement(names[1], median, *ends)]


def _share(metric: str, chosen: NDArray[np.bool_]) -> Measurement:
    return wilson(metric, int(chosen.sum()), len(chosen))
