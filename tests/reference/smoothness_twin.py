"""The smoothness of labels on a similarity graph, edge by edge."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def plain_smoothness(
    layers: Sequence[np.ndarray], labels: np.ndarray, gamma: float, power: int
) -> tuple[float, list[float]]:
    """(penalty, σ of each layer), of features (N, F) and labels (N,)."""
    sigmas = [plain_sigma(layer, labels, power) for layer in layers]
    steps = [abs(after - before) for before, after in pairwise(sigmas)]
    return gamma**power * sum(steps) / len(steps), sigmas


def plain_sigma(features: np.ndarray, labels: np.ndarray, power: int) -> float:
    count = len(labels)
    laplacian = np.zeros((count, count))
    for one in range(count):
        for other in range(count):
            if one == other:
                continue
            lengths = np.linalg.norm(features[one]) * np.linalg.norm(features[other])
            edge = features[one] @ features[other] / lengths if lengths else 0.0
            laplacian[one, other] -= edge
            laplacian[one, one] += edge
    raised = np.linalg.matrix_power(laplacian, power)
    return float(
        sum(raised[one, other] for one in range(count) for other in range(count) if labels[one] == labels[other])
    )
