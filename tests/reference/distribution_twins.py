"""Slow reference implementations of the measures of distributions."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def distance(one: Floats, other: Floats) -> float:
    return float(np.sqrt(sum((a - b) ** 2 for a, b in zip(one, other, strict=True))))


def reaches(images: Floats, k: int) -> list[float]:
    """The distance from each image to its k-th nearest neighbour."""
    return [
        sorted(distance(one, other) for j, other in enumerate(images) if j != i)[k - 1] for i, one in enumerate(images)
    ]


def agreement(generated: Floats, real: Floats, k: int) -> tuple[float, float, float, float]:
    """Precision, recall, density, coverage."""
    reach, reach_real = reaches(generated, k), reaches(real, k)
    balls = [
        sum(distance(made, image) <= far for image, far in zip(real, reach_real, strict=True)) for made in generated
    ]
    recalled = [any(distance(image, made) <= far for made, far in zip(generated, reach, strict=True)) for image in real]
    covered = [
        any(distance(image, made) <= far for made in generated) for image, far in zip(real, reach_real, strict=True)
    ]
    n, m = len(generated), len(real)
    return sum(count > 0 for count in balls) / n, sum(recalled) / m, sum(balls) / (k * n), sum(covered) / m


def discrepancy(one: Floats, other: Floats) -> float:
    """The unbiased squared maximum mean discrepancy under (x·y / d + 1)³, term by term."""
    n, m, d = len(one), len(other), one.shape[1]

    def kernel(x: Floats, y: Floats) -> float:
        return float((sum(x * y) / d + 1) ** 3)

    within = sum(kernel(one[i], one[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within += sum(kernel(other[i], other[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within - 2 * sum(kernel(x, y) for x in one for y in other) / (n * m)


def smallest_difference(image: NDArray[np.uint8], others: list[NDArray[np.uint8]]) -> float:
    """Value by value, relative to the image's own standard deviation."""
    differences = [
        [(int(a) - int(b)) / 255 for a, b in zip(image.ravel(), other.ravel(), strict=True)] for other in others
    ]
    own = [int(value) / 255 for value in image.ravel()]
    mean = sum(own) / len(own)
    contrast = np.sqrt(sum((value - mean) ** 2 for value in own) / len(own))
    return min(float(np.sqrt(sum(value**2 for value in values) / len(values)) / contrast) for values in differences)
