"""p-values of several tests together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["holm"]


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """p-values corrected for the number of tests, whatever their dependence: if those below α are rejected, the
    probability that a true hypothesis is among them is at most α (S. Holm, "A simple sequentially rejective multiple
    test procedure", Scandinavian Journal of Statistics 6, 1979)."""
    given = np.asarray(p_values, np.float64)
    order = np.argsort(given)
    steps = given[order] * np.arange(len(given), 0, -1)
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected
