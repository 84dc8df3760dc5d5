"""Adversarial images compared with the images that were attacked: accuracy over strength, and the size of successful
perturbations."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from training.evaluation.classifiers.attack_facts import Kind, Strength
from training.evaluation.classifiers.metrics import Measurement
from training.evaluation.classifiers.predicting import Predictions, on_same_images
from training.evaluation.intervals.quantities import mean, median

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
    relative_perturbation, the mean of ‖δ‖₂ / ‖x‖₂, and relative_perturbation_median (S. Moosavi-Dezfooli et al.,
    "DeepFool", CVPR 2016, use the mean over all images). Also robust_accuracy, if the attack is the ensemble and was
    made against this model. All intervals are over groups."""
    rows: dict[tuple[str, str], list[Measurement]] = {}
    for curve in find_curves(measured):
        for point in curve.points:
            if point.strength:
                rows[curve.model, point.variant] = [point.cumulative]
    for (model, variant), found in measured.items():
        if found.attack and found.attack.attack == "ensemble" and not found.transfer:
            rows.setdefault((model, variant), []).append(
                Measurement.of("robust_accuracy", found.units.proportion(found.right))
            )
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
            Point(
                variant,
                strength,
                Measurement.of("accuracy", found.units.proportion(found.right)),
                Measurement.of("accuracy_cumulative", found.units.proportion(unbroken)),
            )
        )
    return Curve(model, noise, first.transfer, kind, tuple(points))


def _success(before: Predictions, after: Predictions) -> list[Measurement]:
    assert after.attack is not None
    fooled = before.right & ~after.right
    relative = after.attack.relative_perturbations
    changed = fooled & np.isfinite(relative)
    units, perturbations = after.units.at(changed), relative[changed]
    return [
        Measurement.of("success", after.units.proportion(fooled, before.right)),
        Measurement.of("relative_perturbation", mean(units, perturbations)),
        Measurement.of("relative_perturbation_median", median(units, perturbations)),
    ]
