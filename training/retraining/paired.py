"""Two classifiers on the same images: how much better the one is, and how sure that is.

Only images on which the two disagree say anything: of N, the challenger alone has `won` right and the champion alone
`lost`. The difference of their accuracies is d = (won − lost) / N.
"""

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
        """One-sided, of no improvement, d ≤ 0: McNemar's test in its exact form, for which won is binomial with
        p = 1/2 among won + lost (Q. McNemar, 1947)."""
        return self._exact(self.won)

    def p_worse(self, margin: float) -> float:
        """One-sided, of a loss no larger than the margin, d ≥ −margin.

        The larger p of two tests: Tango's score test of d = −margin, with half an image as continuity correction, for
        without it the test is too bold where N is small; and McNemar's exact one of d = 0, for whoever is not
        significantly below 0 is not significantly below −margin either. margin = 0 leaves the exact one alone."""
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
        """Of d: the differences that the score test does not reject."""
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
    """Corrected for as many tests, however they depend on each other: those below α are rejected, and with a chance of
    1 − α no true hypothesis is among them (S. Holm, "A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics 6, 1979)."""
    given = np.asarray(p_values, np.float64)
    order = np.argsort(given)
    steps = given[order] * np.arange(len(given), 0, -1)
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected
