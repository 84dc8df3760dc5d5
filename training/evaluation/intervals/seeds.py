"""The accuracy of a recipe, or another mean over images: over the seeds of its training and over the objects that its
test images show."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from training.evaluation.intervals.clusters import group_sums, ratios
from training.evaluation.intervals.proportions import CONFIDENCE, Interval, Units, wilson_ends
from training.evaluation.intervals.quantities import mean

__all__ = ["OverSeeds", "mean_over_seeds", "over_seeds"]

Floats = NDArray[np.float64]


class OverSeeds(NamedTuple):
    """`sd` is the standard deviation of the seeds' accuracies; `interval` is of their mean, over seeds and groups."""

    seeds: int
    sd: float
    interval: Interval


def over_seeds(units: Units, right: NDArray[np.bool_]) -> OverSeeds:
    """`right` (S, N) of S ≥ 2 networks of one recipe. The interval is that of proportions.Units, with the variance of
    `_crossed` and its degrees of freedom; with few seeds it is wide if seeds differ by more than groups do."""
    seeds, images = right.shape
    value, sd = float(right.mean()), float(right.mean(axis=1).std(ddof=1))
    variance, degrees = _crossed(units, right)
    effect = units.design_effect.value if units.design_effect else 1.0
    plain = units.proportion(np.ones(images, bool))  # for the numbers of images and groups
    if not variance > 0 or value in (0, 1):
        trials = float(plain.groups or images / effect)
    else:
        quantiles = (float(t.ppf((1 + CONFIDENCE) / 2, max(number, 1.0))) for number in (images - 1, degrees))
        trials = (1 + value * (1 - value) / variance) * (next(quantiles) / next(quantiles)) ** 2
    low, high = (float(end[0]) for end in wilson_ends(np.array([value]), np.array([min(trials, images)])))
    by_image = value * (1 - value) / images
    known = plain.design_effect is not None and by_image > 0
    interval = plain._replace(value=value, low=low, high=high, design_effect=variance / by_image if known else None)
    return OverSeeds(seeds, sd, interval)


def mean_over_seeds(units: Units, values: Floats) -> Interval:
    """Of `values` (S, N), the same N images with S networks of one recipe: Student's interval with the variance of
    `_crossed`; with one network the interval is over groups alone."""
    found = mean(units, values.mean(axis=0))
    if len(values) == 1 or found.low is None or found.value is None:
        return found
    variance, degrees = _crossed(units, values)
    half = float(t.ppf((1 + CONFIDENCE) / 2, degrees)) * variance**0.5
    return found._replace(low=found.value - half, high=found.value + half)


def _crossed(units: Units, values: Floats | NDArray[np.bool_]) -> tuple[float, float]:
    """The variance of the mean of `values` (S, N), and its degrees of freedom by Satterthwaite.

    Seeds and groups are crossed: the variance of the mean is that over groups of the images' means, plus that over
    seeds, less that of their interaction, which both of them contain (A. C. Cameron, J. B. Gelbach, D. L. Miller,
    "Robust inference with multiway clustering", Journal of Business & Economic Statistics 29, 2011, equation 2.12), but
    no less than the first one."""
    seeds, images = values.shape
    scores, value = values.mean(axis=0), float(values.mean())
    codes = np.arange(images) if units.codes is None else units.codes
    cases = group_sums(codes)
    found = ratios(group_sums(codes, scores)[:, None], cases[:, None])
    effect = units.design_effect.value if units.design_effect else 1.0
    of_groups, degrees = float(found.variance[0]) * effect, float(found.degrees[0])
    of_seeds = float(values.mean(axis=1).var(ddof=1)) / seeds
    residuals = np.array([group_sums(codes, one - scores) - (one.mean() - value) * cases for one in values])
    of_both = effect * float((residuals**2).sum()) / ((seeds - 1) * seeds * images**2)
    variance = max(of_groups, of_groups + of_seeds - of_both)
    if variance > of_groups:
        degrees = variance**2 / (of_groups**2 / degrees + of_seeds**2 / (seeds - 1))
    return variance, degrees
