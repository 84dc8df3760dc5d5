"""Paired comparison of two networks on the same images, whose groups are the observations."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from training.evaluation.intervals.clusters import Ratios, group_codes, group_sums, ratios

__all__ = ["PairedGroups", "p_worse", "sign_flip"]

Floats = NDArray[np.float64]
MAX_ENUMERATED = 13
"""Up to so many groups all sign changes are enumerated: 8,192."""
DRAWS = 19_999
SEED = 0
DRAWS_AT_ONCE = 2_000
SAME = 1e-9


@dataclass(frozen=True)
class PairedGroups:
    """`before` and `after` (N,) in [0, 1]: 1 if the image is right, or the mean over several seeds; `groups` (N,): the
    object that each image shows. N ≥ 1."""

    before: NDArray[np.floating] | NDArray[np.bool_]
    after: NDArray[np.floating] | NDArray[np.bool_]
    groups: NDArray[np.str_]

    @property
    def images(self) -> int:
        return len(self.groups)

    @property
    def units(self) -> int:
        """The number of groups."""
        return len(self._cases)

    @property
    def difference(self) -> float:
        """The accuracy after minus that before, over images."""
        return float(self._sums.sum() / self.images)

    @property
    def standard_error(self) -> float:
        """Between groups; NaN with one group."""
        return float(np.sqrt(self._ratio.variance[0]))

    @property
    def degrees(self) -> float:
        """The degrees of freedom of the standard error (clusters.ratios)."""
        return float(self._ratio.degrees[0])

    @property
    def design_effect(self) -> float:
        """The variance of the difference by groups over that by images, NaN if no image differs."""
        differences = np.asarray(self.after, np.float64) - np.asarray(self.before, np.float64)
        if self.images < 2 or not (by_image := float(differences.var(ddof=1)) / self.images):
            return float("nan")
        return self.standard_error**2 / by_image

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Student's interval of the difference, over groups. If all groups differ alike, as when none differs, it is
        that of a share of 0 among K groups (Wilson), on both sides."""
        half = float(t.ppf((1 + confidence) / 2, self.degrees)) * self.standard_error
        if not self.standard_error > SAME:
            squared = float(norm.ppf((1 + confidence) / 2)) ** 2
            half = squared / (self.units + squared)
        return max(-1.0, self.difference - half), min(1.0, self.difference + half)

    def p_better(self) -> float:
        """The one-sided p of the null hypothesis that the networks are exchangeable, against an improvement:
        sign_flip."""
        return float(sign_flip(self._sums[:, None])[0])

    def p_worse(self, margin: float) -> float:
        """The one-sided p of the null hypothesis of a loss no larger than `margin`: p_worse."""
        return float(p_worse(self._sums[:, None], self._cases[:, None], margin)[0])

    @cached_property
    def _sums(self) -> Floats:
        """(K,): the images of each group that are right after, minus those before."""
        return group_sums(self._codes, np.asarray(self.after, np.float64) - np.asarray(self.before, np.float64))

    @cached_property
    def _ratio(self) -> Ratios:
        return ratios(self._sums[:, None], self._cases[:, None])

    @cached_property
    def _cases(self) -> Floats:
        return group_sums(self._codes)

    @cached_property
    def _codes(self) -> NDArray[np.int64]:
        return group_codes(self.groups)


def p_worse(sums: Floats, cases: Floats, margin: float) -> Floats:
    """(M,): for differences `sums` (K, M) of groups of `cases` (K, M) images, the one-sided p of a loss no larger than
    `margin`. It is the larger p of Student's test over groups of the difference −margin, and of sign_flip for a
    difference of 0, since a challenger that is not significantly below 0 is not significantly below −margin either.
    With margin = 0 only the latter."""
    exact = sign_flip(-sums)
    if margin == 0:
        return exact
    found = ratios(sums, cases)
    error = np.sqrt(found.variance)
    spread = error > SAME
    beyond = (found.value + margin) / np.where(spread, error, 1.0)
    alike = np.where((found.value < -margin) & (found.groups > 1), 0.0, 1.0)
    larger: Floats = np.maximum(exact, np.where(spread, t.cdf(beyond, found.degrees), alike))
    return larger


def sign_flip(sums: Floats, draws: int = DRAWS, seed: int = SEED) -> Floats:
    """(M,): for each column of `sums` (K, M), the share of sign changes of its rows whose sum is at least as large as
    the sum itself. All are enumerated if few rows are not zero; otherwise `draws` are drawn, the same for each column
    and in each call, and the unchanged one counts too, so that p > 0 and the test is not anti-conservative. Exact for
    networks that are swapped by group (E. S. Edgington, P. Onghena, "Randomization tests", 2007, chapter 5)."""
    used = sums[np.abs(sums).max(axis=1, initial=0.0) > SAME]
    rows = len(used)
    observed = used.sum(axis=0) - SAME
    if rows <= MAX_ENUMERATED:
        signs = 1.0 - 2.0 * (np.arange(2**rows)[:, None] >> np.arange(rows) & 1)
        share: Floats = (signs @ used >= observed).mean(axis=0)
        return share
    random = np.random.default_rng(seed)
    reached = np.ones(used.shape[1], np.int64)
    for start in range(0, draws, DRAWS_AT_ONCE):
        signs = random.integers(0, 2, (min(DRAWS_AT_ONCE, draws - start), rows), np.int8) * 2.0 - 1.0
        reached += (signs @ used >= observed).sum(axis=0)
    shares: Floats = reached / (draws + 1)
    return shares
