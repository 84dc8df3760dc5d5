"""Rank correlations with intervals that count groups."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from training.evaluation.intervals.proportions import CONFIDENCE, Interval, Units

__all__ = ["rank_correlation"]

Floats = NDArray[np.float64]
DRAWS = 1000
FEWEST = 3


def rank_correlation(units: Units, one: Floats, other: Floats, seed: int = 0) -> Interval:
    """Spearman's, with the percentile interval of a bootstrap over groups (1,000 draws); without groups, over images.
    None if there are fewer than three images or groups, or if a column is constant."""
    images = len(one)
    codes = np.arange(images) if units.codes is None else np.unique(units.codes, return_inverse=True)[1]
    groups = int(codes.max(initial=-1)) + 1
    known = units.unit not in ("unknown", "estimated")
    nothing = Interval(None, None, None, images, groups if known else None, None, units.unit)
    if images < FEWEST or groups < FEWEST or np.ptp(one) == 0 or np.ptp(other) == 0:
        return nothing
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        rows = np.concatenate([members[group] for group in random.integers(0, groups, groups)])
        if np.ptp(one[rows]) and np.ptp(other[rows]):
            drawn.append(float(np.corrcoef(rankdata(one[rows]), rankdata(other[rows]))[0, 1]))
    ends = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    low, high = (float(np.quantile(drawn, end)) for end in ends)
    return nothing._replace(value=float(spearmanr(one, other).statistic), low=low, high=high)
