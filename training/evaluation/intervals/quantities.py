"""Means and medians of numbers with 95 % intervals that count groups, not images."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, t

from training.evaluation.intervals.clusters import ratios
from training.evaluation.intervals.proportions import CONFIDENCE, Interval, Units

__all__ = ["mean", "median"]

Floats = NDArray[np.float64]
ROUNDING = 1e-9


def mean(units: Units, values: Floats) -> Interval:
    """Of `values` (N,), with Student's interval over groups; none with fewer than two."""
    images = len(values)
    if not images:
        return Interval(None, None, None, 0, None, None, units.unit)
    value, by_image = float(values.mean()), float(values.var(ddof=1)) / images if images > 1 else 0.0
    if units.codes is not None:
        found = ratios(*(np.bincount(units.codes, by)[:, None].astype(np.float64) for by in (values, None)))
        variance, groups, degrees = float(found.variance[0]), int(found.groups[0]), float(found.degrees[0])
    elif units.design_effect:
        variance, groups = by_image * units.design_effect.value, units.design_effect.groups
        degrees = groups - 1
    else:
        variance, groups, degrees = by_image, images, images - 1
    effect, known = variance / by_image if by_image else None, units.unit not in ("unknown", "estimated")
    shown = groups if known else None
    if groups < 2 or images < 2:
        return Interval(value, None, None, images, shown, None, units.unit)
    half = float(t.ppf((1 + CONFIDENCE) / 2, degrees)) * variance**0.5
    return Interval(
        value, value - half, value + half, images, shown, effect if known or units.design_effect else None, units.unit
    )


def median(units: Units, values: Floats) -> Interval:
    """Of `values` (N,). The ends are the order statistics of the binomial distribution of a share of one half among the
    effective number of values (R. S. Woodruff, "Confidence intervals for medians and other position measures", Journal
    of the American Statistical Association 47, 1952); with fewer than six there are none."""
    if not len(values):
        return Interval(None, None, None, 0, None, None, units.unit)
    value = float(np.median(values))
    half, everything = (units.counts(np.zeros(len(values), np.int64), 1, rows) for rows in (values <= value, None))
    effective = units.effective(half, everything)
    effect = units.known(effective.images / effective.effective, units.design_effect)[0]
    groups = units.known(effective.groups)[0]
    found = Interval(
        value, None, None, len(values), None if np.isnan(groups) else round(groups),
        None if np.isnan(effect) else float(effect), units.unit,
    )  # fmt: skip
    trials = int(effective.corrected[0] + ROUNDING)
    rank = int(binom.ppf((1 - CONFIDENCE) / 2, trials, 0.5)) if trials else 0
    if not rank:
        return found
    below = max(1, int(rank / trials * len(values) + ROUNDING))
    ordered = np.sort(values)
    return found._replace(low=float(ordered[below - 1]), high=float(ordered[len(values) - below]))
