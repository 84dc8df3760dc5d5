"""The noise level of an image, estimated from the image alone."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["noise_std_grey"]


def noise_std_grey(image: NDArray[Any]) -> float | None:
    """The standard deviation of white noise in `image` (height, width, channels), both in grey levels; None if less
    than 3 × 3 pixels remain without the black border of padding.

    √(π/2) · mean |I ∗ N| / 6 with N = [[1, −2, 1], [−2, 4, −2], [1, −2, 1]], mean over channels and over the pixels
    that have all neighbours (J. Immerkær, "Fast noise variance estimation", Computer Vision and Image Understanding 64
    (2), 1996). Planes and straight edges parallel to a side count as nothing, fine texture counts as noise."""
    values = _without_black_border(image).astype(np.float64)
    if min(values.shape[:2]) < 3:
        return None
    across = values[:, :-2] - 2 * values[:, 1:-1] + values[:, 2:]  # N is the outer product of [1, −2, 1] with itself
    filtered = across[:-2] - 2 * across[1:-1] + across[2:]
    return math.sqrt(math.pi / 2) / 6 * float(np.abs(filtered).mean())


def _without_black_border(image: NDArray[Any]) -> NDArray[Any]:
    seen = (image != 0).any(axis=2)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return image[:0]
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
