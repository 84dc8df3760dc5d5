"""Signs that an attack was too weak for its accuracies to be reliable.

The checks follow AutoAttack (F. Croce, M. Hein, "Reliable evaluation of adversarial robustness with an ensemble of
diverse parameter-free attacks", ICML 2020, and its file checks.py). The absence of flags does not prove the
contrary."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from training.evaluation.classifiers.metrics import Measurement
from training.evaluation.classifiers.predicting import Predictions, on_same_images
from training.evaluation.robustness.curves import Curve

__all__ = ["find_flags"]

Measured = Mapping[tuple[str, str], Predictions]


def find_flags(measured: Measured, curves: Sequence[Curve]) -> list[str]:
    """A sentence for each flag, with model, variant and numbers; `measured` by model and variant as in
    Predictions.shown."""
    found = (_rising(curves), _transfer_is_better(measured), _unchanged(measured), _random(measured))
    return [sentence for sentences in found for sentence in sentences]


def _rising(curves: Sequence[Curve]) -> Iterator[str]:
    for curve in curves:
        lowest = curve.points[0]
        for point in curve.points[1:]:
            if _above(point.accuracy, lowest.accuracy):
                yield (
                    f"{curve.model}: accuracy increases with attack strength, from {_text(lowest.accuracy)} on "
                    f"{lowest.variant} to {_text(point.accuracy)} on {point.variant}; the attack may be stuck"
                )
            lowest = min(lowest, point, key=lambda one: one.accuracy.value or 0.0)


def _transfer_is_better(measured: Measured) -> Iterator[str]:
    for (model, variant), found in measured.items():
        own = found.recorded.variant
        if not found.transfer or (model, own) not in measured:
            continue
        white_box, transfer = map(_accuracy, on_same_images(measured[model, own], found))
        if _above(white_box, transfer):
            yield (
                f"{model}: images made against another network do more harm than those made against it, "
                f"{_text(transfer)} right on {variant} and {_text(white_box)} on {own}; its gradients may be masked"
            )


def _unchanged(measured: Measured) -> Iterator[str]:
    """Some attacks do not change images that are already wrong; attacks that seek the smallest perturbation also leave
    images that they cannot fool."""
    for (model, variant), found in measured.items():
        attack = found.attack
        if attack is None or attack.seeks or found.transfer:
            continue
        if stuck := int((np.isposinf(attack.snr_db) & found.right).sum()):
            yield (
                f"{model}: {stuck:,} of {len(found.labels):,} images of {variant} are right and were not changed by "
                "the attack; their gradient may be zero everywhere"
            )


def _random(measured: Measured) -> Iterator[str]:
    for (model, variant), found in measured.items():
        if not found.steady:
            yield (
                f"{model}: two passes over the same {variant} images gave different logits; an attack on a random "
                "network needs the mean of several gradients"
            )


def _accuracy(found: Predictions) -> Measurement:
    return Measurement.of("accuracy", found.units.proportion(found.right))


def _above(one: Measurement, other: Measurement) -> bool:
    """Whether the 95 % intervals do not overlap."""
    return one.low is not None and other.high is not None and one.low > other.high


def _text(measured: Measurement) -> str:
    value, low, high = (100 * (number or 0.0) for number in measured[1:4])
    return f"{value:.2f} % ({low:.2f} – {high:.2f})"
