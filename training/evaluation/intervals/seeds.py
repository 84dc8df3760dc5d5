"""The accuracy of a recipe: over the seeds of its training and over the objects that its test images show."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from training.evaluation.intervals.clusters import group_sums, ratios
from training.evaluation.intervals.proportions import CONFIDENCE, Interval, Units, wilson_ends

__all__ = ["OverSeeds", "over_seeds"]

Floats = NDArray[np.float64]


class OverSeeds(NamedTuple):
    """`sd` is the standard deviation of the seeds' accuracies; `interval` is of their mean, over seeds and groups."""

    seeds: int
    sd: float
    interval: Interval


def over_seeds(units: Units, right: NDArray[np.bool_]) -> OverSeeds:
    """`right` (S, N) of S ≥ 2 networks of one recipe.

    Seeds and groups are crossed: the variance of the mean is that over groups of the images' mean accuracies, plus that
    over seeds, less that of their interaction, which both of them contain (A. C. Cameron, J. B. Gelbach, D. L. Miller,
    "Robust inference with multiway clustering", Journal of Business & Economic Statistics 29, 2011, equation 2.12), but
    no less than the first one. The interval is that of proportions.Units, with degrees of freedom by Satterthwaite;
    with few seeds it is wide if seeds differ by more than groups do."""
    seeds, images = right.shape
    accuracies, scores = right.mean(axis=1), right.mean(axis=0)
    value, sd = float(scores.mean()), float(accuracies.std(ddof=1))
    codes = np.arange(images) if units.codes is None else units.codes
    cases = group_sums(codes)
    found = ratios(group_sums(codes, scores)[:, None], cases[:, None])
    effect = units.design_effect.value if units.design_effect else 1.0
    of_groups, degrees = float(found.variance[0]) * effect, float(found.degrees[0])
    of_seeds = sd**2 / seeds
    residuals = np.array([group_sums(codes, one - scores) - (one.mean() - value) * cases for one in right])
    of_both = effect * float((residuals**2).sum()) / ((seeds - 1) * seeds * images**2)
    variance = max(of_groups, of_groups + of_seeds - of_both)
    if variance > of_groups:
        degrees = variance**2 / (of_groups**2 / degrees + of_seeds**2 / (seeds - 1))
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
