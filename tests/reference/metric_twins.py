"""Slow reference implementations of measures of predictions: loops over the images and textbook formulas."""

import math
from collections.abc import Sequence


def counts(labels: Sequence[int], predicted: Sequence[int], label: int) -> tuple[int, int, int, int]:
    """(true positives, false positives, false negatives, true negatives) of one class against all others."""
    found = [0, 0, 0, 0]
    for is_label, is_predicted in ((a == label, b == label) for a, b in zip(labels, predicted, strict=True)):
        found[0 if is_label and is_predicted else 1 if is_predicted else 2 if is_label else 3] += 1
    return found[0], found[1], found[2], found[3]


def ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def wilson(successes: int, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """(p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)."""
    p = successes / trials
    middle = p + z * z / (2 * trials)
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return (middle - half) / (1 + z * z / trials), (middle + half) / (1 + z * z / trials)


def ece(labels: Sequence[int], predicted: Sequence[int], confidences: Sequence[float], bins: int) -> float:
    """Expected calibration error over bins (0, 1/B], (1/B, 2/B], …"""
    error = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [row for row, confidence in enumerate(confidences) if low < confidence <= high]
        if inside:
            accuracy = sum(labels[row] == predicted[row] for row in inside) / len(inside)
            confidence = sum(confidences[row] for row in inside) / len(inside)
            error += len(inside) / len(labels) * abs(accuracy - confidence)
    return error
