"""Proportions of images with 95 % intervals that count groups, not images."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from training.evaluation.intervals.clusters import group_codes, ratios

__all__ = ["Counted", "DesignEffect", "Interval", "Proportions", "Unit", "Units", "wilson_ends"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Unit = Literal["group", "recovered group", "image", "estimated", "unknown"]
"""What an interval counts as one observation. group: those of the dataset; recovered group: those that were recovered
from the images; image: each image is a group of its own; estimated: groups are unknown, and the design effect is that
of the validation images for the same network and variant; unknown: groups are unknown and nothing says how much they
matter, so images were counted and the interval may be too narrow."""
CONFIDENCE = 0.95
MIN_DEGREES = 4.0
Z = float(norm.ppf((1 + CONFIDENCE) / 2))


class DesignEffect(NamedTuple):
    """`value`: how many images count as one; from `groups` groups."""

    value: float
    groups: int

    def thinned(self, share: float) -> "DesignEffect":
        """That of a random sample of the images: 1 + (m − 1) ρ for m images per group becomes 1 + (m · share − 1) ρ,
        here for large m."""
        return self._replace(value=1 + (self.value - 1) * share)


class Interval(NamedTuple):
    """Of one proportion; `value` is None without images, `design_effect` and `groups` if they are unknown."""

    value: float | None
    low: float | None
    high: float | None
    images: int
    groups: int | None
    design_effect: float | None
    unit: Unit


class Counted(NamedTuple):
    """M proportions, columns (M,): `images` in `groups`, which are worth `effective` independent images, and
    `corrected` ones since the variance between groups is an estimate."""

    value: Floats
    images: Floats
    groups: Floats
    effective: Floats
    corrected: Floats


class Proportions(NamedTuple):
    """M proportions, columns (M,) with NaN for undefined ones; see Interval."""

    value: Floats
    low: Floats
    high: Floats
    images: Floats
    groups: Floats
    design_effect: Floats
    unit: Unit

    def at(self, place: int) -> Interval:
        value, low, high, images, groups, effect = (float(column[place]) for column in self[:6])
        return Interval(
            _number(value), _number(low), _number(high), round(images), None if np.isnan(groups) else round(groups),
            _number(effect), self.unit,
        )  # fmt: skip


@dataclass(frozen=True)
class Units:
    """What counts as one observation among N images: `codes` (N,), the number of each image's group, or None if only
    the images can be counted; then `design_effect` is an estimate from elsewhere, if there is one."""

    unit: Unit
    codes: Integers | None = None
    design_effect: DesignEffect | None = None

    @classmethod
    def of_groups(cls, groups: NDArray[np.str_], recovered: bool = False) -> Self:
        """`groups` (N,): the object that each image shows."""
        codes = group_codes(groups)
        if not recovered and int(codes.max(initial=-1)) + 1 == len(codes):
            return cls("image")
        return cls("recovered group" if recovered else "group", codes)

    @classmethod
    def unknown(cls, design_effect: DesignEffect | None = None) -> Self:
        return cls("unknown" if design_effect is None else "estimated", None, design_effect)

    def at(self, rows: NDArray[np.bool_]) -> "Units":
        """The units of some of the images."""
        return self if self.codes is None else Units(self.unit, self.codes[rows])

    def counts(self, columns: Integers, width: int, rows: NDArray[np.bool_] | None = None) -> Floats:
        """(K, width): how many images of each group have which number in `columns` (N,), of those chosen by `rows`;
        K = 1 where groups are not counted."""
        codes = np.zeros(len(columns), np.int64) if self.codes is None else self.codes
        height = int(codes.max(initial=0)) + 1
        places = codes * width + columns
        chosen = places if rows is None else places[rows]
        return np.bincount(chosen, minlength=height * width).reshape(height, width).astype(np.float64)

    def proportion(self, chosen: NDArray[np.bool_], rows: NDArray[np.bool_] | None = None) -> Interval:
        """The share of images that are `chosen` (N,), of those in `rows`."""
        cases = np.ones(len(chosen), bool) if rows is None else rows
        nothing = np.zeros(len(chosen), np.int64)
        return self.proportions(self.counts(nothing, 1, cases & chosen), self.counts(nothing, 1, cases)).at(0)

    def proportions(self, successes: Floats, cases: Floats) -> Proportions:
        """Of counts (K, M) by group.

        Wilson's score interval on the effective number of images, n* = 1 + p(1 − p) / v with the variance v between
        groups, times (t(n − 1) / t(f))² since v is an estimate (E. L. Korn, B. I. Graubard, "Confidence intervals for
        proportions with small expected number of positive counts estimated from survey data", Survey Methodology 24,
        1998, who use Clopper's and Pearson's interval and f = K − 1; ours are clusters.ratios'). n* is n if each image
        is a group of its own, and K if the images of groups of one size are all alike. Where v rests on fewer than
        MIN_DEGREES, as with all images right or a class of two signs, it is not used, and K groups count: the images
        of a group are taken to be all alike. The design effect is n / n*, before the correction for v. Chosen by
        coverage, benchmarks/interval_coverage.py."""
        counted = self.effective(successes, cases)
        effect = self.known(_share(counted.images, counted.effective), self.design_effect)
        return Proportions(
            counted.value, *wilson_ends(counted.value, counted.corrected), counted.images,
            self.known(counted.groups), effect, self.unit,
        )  # fmt: skip

    def effective(self, successes: Floats, cases: Floats) -> Counted:
        """The effective numbers of images of proportions of counts (K, M) by group."""
        if self.codes is None:
            images = cases.sum(axis=0)
            value = _share(successes.sum(axis=0), images)
            if self.design_effect is None:
                return Counted(value, images, images, images, images)
            groups = np.full(len(images), float(self.design_effect.groups))
            effective = images / self.design_effect.value
            return Counted(value, images, groups, effective, effective * _correction(images, groups - 1))
        found = ratios(successes, cases)
        images, groups = found.cases, found.groups.astype(np.float64)
        effective = 1 + _share(found.value * (1 - found.value), found.variance)
        alike = ~(found.variance > 0) | (found.degrees < MIN_DEGREES)
        corrected = np.maximum(effective * _correction(images, found.degrees), np.minimum(effective, groups))
        effective, corrected = (np.where(alike, groups, some) for some in (effective, corrected))
        return Counted(found.value, images, groups, np.minimum(effective, images), np.minimum(corrected, images))

    def known(self, found: Floats, design_effect: DesignEffect | None = None) -> Floats:
        """`found`, or NaN where groups are unknown unless there is an estimate."""
        unknown = self.unit in ("unknown", "estimated") and design_effect is None
        return np.full(len(found), np.nan) if unknown else found


def wilson_ends(value: Floats, trials: Floats, z: float = Z) -> tuple[Floats, Floats]:
    """Wilson's score interval (E. B. Wilson, 1927) of proportions (M,) of `trials` (M,), which need not be whole; NaN
    without trials."""
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = value + z**2 / (2 * trials)
        half = z * np.sqrt(value * (1 - value) / trials + z**2 / (4 * trials**2))
        low, high = ((middle + sign * half) / (1 + z**2 / trials) for sign in (-1, 1))
    return np.where(value == 0, 0.0, low), np.where(value == 1, 1.0, high)


def _correction(images: Floats, degrees: Floats) -> Floats:
    """(t(n − 1) / t(f))² of the 97.5 % quantiles of Student's distribution."""
    quantiles = (t.ppf((1 + CONFIDENCE) / 2, np.maximum(number, 1)) for number in (images - 1, degrees))
    corrections: Floats = (next(quantiles) / next(quantiles)) ** 2
    return corrections


def _share(some: Floats, of: Floats) -> Floats:
    """NaN of nothing."""
    shares: Floats = np.divide(some, of, out=np.full(len(of), np.nan), where=of > 0)
    return shares


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
