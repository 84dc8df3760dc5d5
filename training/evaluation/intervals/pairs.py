"""Two contenders on one cell: the difference of their mean accuracies over seeds, and its significance.

Signs and seeds are both random: another batch would have other signs, and the same recipe with another seed is another
network. A p-value is the larger one of two: the sign changes by sign (intervals.PairedGroups), which is exact for
networks that are exchangeable, and a t test whose variance has both parts, of signs and of seeds."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from training.evaluation.intervals.paired import PairedGroups
from training.evaluation.intervals.proportions import Interval, Units
from training.evaluation.intervals.seeds import over_seeds

__all__ = ["Pairs", "Side"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """`right` (S, N): whether each of S seeds is right on each of N ≥ 1 images. `names` (N,): the group of each image;
    `recovered` as in Predictions."""

    right: NDArray[np.bool_]
    names: NDArray[np.str_]
    recovered: bool = False

    @property
    def seeds(self) -> int:
        return len(self.right)

    @property
    def images(self) -> int:
        return len(self.names)

    @cached_property
    def units(self) -> Units:
        return Units.of_groups(self.names, self.recovered)

    @property
    def groups(self) -> int:
        return len(np.unique(self.names))

    @property
    def scores(self) -> Floats:
        """(N,): the share of seeds that are right."""
        scores: Floats = self.right.mean(axis=0, dtype=np.float64)
        return scores

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    def interval(self) -> Interval:
        """Of the accuracy, over groups and seeds."""
        if self.seeds == 1:
            return self.units.proportion(self.right[0])
        return over_seeds(self.units, self.right).interval

    @property
    def squares(self) -> float:
        """The sum over seeds of (accuracy − mean)²."""
        found = self.right.mean(axis=1, dtype=np.float64)
        return float(((found - found.mean()) ** 2).sum())


@dataclass(frozen=True)
class Pairs:
    """Both sides on the same images."""

    champion: Side
    challenger: Side

    @property
    def difference(self) -> float:
        return self.by_sign.difference

    @cached_property
    def by_sign(self) -> PairedGroups:
        return PairedGroups(self.champion.scores, self.challenger.scores, self.champion.names)

    @property
    def design_effect(self) -> float | None:
        """None if the sides agree on all images."""
        effect = self.by_sign.design_effect
        return None if math.isnan(effect) else effect

    @property
    def seed_variance(self) -> float:
        """The variance of the difference that comes from seeds, σ² (1/S + 1/S'), with σ² pooled over both sides, since
        one of them may have a single seed; 0 if both have: nothing is known then."""
        sides = self.champion, self.challenger
        if not self._seed_freedom:
            return 0.0
        squares = sum(side.squares for side in sides)
        return squares / self._seed_freedom * sum(1 / side.seeds for side in sides)

    @property
    def standard_error(self) -> float:
        """The root of the sum of both variances. What a seed does on one sign is in both, so the error is not too small
        (C. Cameron, J. Gelbach, D. Miller, "Robust inference with multiway clustering", Journal of Business & Economic
        Statistics 29, 2011, subtract it)."""
        return math.sqrt(self._sign_variance + self.seed_variance)

    @property
    def freedom(self) -> float:
        """The degrees of freedom of the sum of both variances."""
        signs = self._sign_variance, self.by_sign.degrees
        return satterthwaite(signs, (self.seed_variance, self._seed_freedom))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Of the difference, over signs and seeds."""
        if not self.seed_variance:
            return self.by_sign.interval(confidence)
        half = float(t.ppf((1 + confidence) / 2, self.freedom)) * self.standard_error
        return max(-1.0, self.difference - half), min(1.0, self.difference + half)

    def p_better(self) -> float:
        """One-sided, for the null hypothesis of no gain."""
        return max(self.by_sign.p_better(), self._p_beyond(self.difference))

    def p_worse(self, margin: float) -> float:
        """One-sided, for the null hypothesis of a loss no larger than `margin`."""
        return max(self.by_sign.p_worse(margin), self._p_beyond(-self.difference - margin))

    def _p_beyond(self, distance: float) -> float:
        """0 if the spread of seeds is unknown: signs alone decide."""
        return float(t.sf(distance / self.standard_error, self.freedom)) if self.seed_variance else 0.0

    @property
    def _sign_variance(self) -> float:
        error = self.by_sign.standard_error
        return 0.0 if math.isnan(error) else error**2

    @property
    def _seed_freedom(self) -> int:
        return self.champion.seeds + self.challenger.seeds - 2


def satterthwaite(*variances: tuple[float, float]) -> float:
    """The degrees of freedom of a sum of (variance, its degrees of freedom) (F. Satterthwaite, "An approximate
    distribution of estimates of variance components", Biometrics Bulletin 2, 1946)."""
    spread = sum(variance**2 / freedom for variance, freedom in variances if variance)
    return sum(variance for variance, _ in variances) ** 2 / spread if spread else math.inf
