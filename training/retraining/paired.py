"""Paired comparison of two classifiers on the same images: the difference of their accuracies, and its significance.

Only images on which the two disagree are informative: of N images, `won` are right only for the challenger and `lost`
only for the champion. The difference of the accuracies is d = (won − lost) / N."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import binomtest, norm

__all__ = ["Pairs", "holm"]

NEAR_ONE = 1 - 1e-9
HALF_AN_IMAGE = 0.5


class Pairs(NamedTuple):
    """N ≥ 1 images: won, lost, and the others."""

    images: int
    won: int
    lost: int

    @property
    def difference(self) -> float:
        return (self.won - self.lost) / self.images

    def p_better(self) -> float:
        """The one-sided p of the null hypothesis d ≤ 0 (no improvement): McNemar's exact test, in which won is binomial
        with p = 1/2 among won + lost (Q. McNemar, 1947)."""
        return self._exact(self.won)

    def p_worse(self, margin: float) -> float:
        """The one-sided p of the null hypothesis d ≥ −margin (a loss no larger than the margin).

        The larger p of two tests: Tango's score test of d = −margin, with half an image as continuity correction, since
        without it the test is anti-conservative for small N; and McNemar's exact test of d = 0, since a challenger that
        is not significantly below 0 is not significantly below −margin either. With margin = 0 only the exact test is
        used."""
        exact = self._exact(self.lost)
        return exact if margin == 0 else max(exact, float(norm.cdf(self.score(-margin, HALF_AN_IMAGE))))

    def score(self, difference: float, correction: float = 0.0) -> float:
        """The standardized distance from d = `difference`, in (−1, 1), normal for large N: the variance is that of the
        most likely distribution with this difference (T. Tango, "Equivalence test and confidence interval for the
        difference in proportions for the paired-sample design", Statistics in Medicine 17, 1998). At 0 its square is
        McNemar's χ² without continuity correction; `correction` is in images."""
        n, won, lost = self
        linear = -won - lost + (2 * n - won + lost) * difference
        constant = -lost * difference * (1 - difference)
        share_lost = (math.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
        variance = n * (2 * share_lost + difference * (1 - difference))
        return (won - lost - n * difference + correction) / math.sqrt(variance) if variance > 0 else 0.0

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The interval of d: the differences that the score test does not reject."""
        bound = float(norm.ppf((1 + confidence) / 2))
        low = self._where(bound) if self.difference > -1 else -1.0
        high = self._where(-bound) if self.difference < 1 else 1.0
        return low, high

    def _where(self, score: float) -> float:
        return float(brentq(lambda difference: self.score(difference) - score, -NEAR_ONE, NEAR_ONE))

    def _exact(self, cases: int) -> float:
        discordant = self.won + self.lost
        return float(binomtest(cases, discordant, alternative="greater").pvalue) if discordant else 1.0


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
