"""Failure thresholds: the strength of a noise at which a recipe's accuracy falls below a declared one."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import t

from pipelines.settings import Settings
from training.evaluation.classifiers.predicting import Predictions, on_same_images
from training.evaluation.intervals.clusters import group_sums
from training.evaluation.intervals.proportions import CONFIDENCE, Unit, Units
from training.evaluation.intervals.psychometric import Fits, fit
from training.evaluation.robustness.ladders import Ladder

__all__ = ["LEAST_STRENGTHS", "Criterion", "Threshold", "find_threshold", "ladder_of"]

Floats = NDArray[np.float64]
LEAST_STRENGTHS = 3
"""Besides clean images: the curve has four parameters."""


class Criterion(Settings):
    """When a network counts as failed: its accuracy is below `of_clean` times that on clean images, or, where it is
    given, below `absolute`. `draws` and `seed` are of the bootstrap; `class_draws` of that of each class."""

    of_clean: float = Field(default=0.9, gt=0, lt=1)
    absolute: float | None = Field(default=None, gt=0, lt=1)
    draws: int = Field(default=1000, ge=100)
    class_draws: int = Field(default=200, ge=100)
    seed: int = Field(default=0, ge=0)

    def errors(self, fits: Fits) -> Floats:
        """(B,): the share of errors at which the network of each fit fails."""
        if self.absolute is not None:
            return np.full(len(fits.lapse), 1 - self.absolute)
        return 1 - self.of_clean * (1 - fits.lapse)

    @property
    def text(self) -> str:
        if self.absolute is not None:
            return f"{self.absolute:.0%} accuracy".replace("%", " %")
        return f"{self.of_clean:.0%} of the clean accuracy".replace("%", " %")


class Threshold(NamedTuple):
    """`value`, in the ladder's unit, has the 95 % interval low–high; inf stands for a strength above the strongest that
    was shown. Below the weakest one a value is the curve's alone, and `text` says so. `accuracies` are those at the
    strengths of the ladder, `fits` the curve through them (one fit), and `misfit` the largest distance between the two.
    `images` of `groups` groups, counted by `unit`, under `seeds` networks."""

    ladder: Ladder
    value: float
    low: float
    high: float
    accuracies: Floats
    fits: Fits
    misfit: float
    seeds: int
    images: int
    groups: int | None
    unit: Unit

    @property
    def reached(self) -> bool:
        """Whether it lies at or below the strongest noise that was shown."""
        return math.isfinite(self.value)

    @property
    def measured(self) -> bool:
        """Whether it lies between strengths that were shown."""
        return self.reached and self.value >= self.ladder.weakest

    @property
    def text(self) -> str:
        return self._number(self.value)

    @property
    def interval_text(self) -> str:
        low, high = self._number(self.low), self._number(self.high)
        return low if low == high else f"{low} – {high}"

    def _number(self, strength: float) -> str:
        """Nothing was shown below the weakest strength, and above the strongest."""
        if not math.isfinite(strength):
            return f"above {self.ladder.strongest:g}"
        return f"{strength:.3g}" if strength >= self.ladder.weakest else f"below {self.ladder.weakest:g}"


def ladder_of(ladder: Ladder, recipe: Sequence[Mapping[str, Predictions]]) -> list[list[Predictions]]:
    """[strength][seed], all for the same images. Raises EvaluationError."""
    flat = on_same_images(*(seed[rung.variant] for rung in ladder.rungs for seed in recipe))
    return [flat[start : start + len(recipe)] for start in range(0, len(flat), len(recipe))]


def find_threshold(
    ladder: Ladder,
    shown: Sequence[Sequence[Predictions]],
    criterion: Criterion,
    rows: NDArray[np.bool_] | None = None,
) -> Threshold:
    """`shown` as from ladder_of; `rows` (N,) are the images that count, by default all.

    The interval has two parts, whose half-widths are added in squares (A. Donner, G. Y. Zou, "Closed-form confidence
    intervals for functions of the normal mean and standard deviation", Statistical Methods in Medical Research 21,
    2012: the method of variance estimates recovery), on the logarithm of the strength: the bootstrap over groups of
    images, with all seeds in each draw, by percentiles; and Student's interval of the mean over seeds, from the
    threshold of each. Images whose groups are unknown are drawn one by one, and the interval may then be too narrow:
    `unit` says so."""
    one = shown[0][0]
    chosen = np.ones(len(one.labels), bool) if rows is None else rows
    units = one.units.at(chosen)
    wrong = np.array([[~seed.right[chosen] for seed in seeds] for seeds in shown])  # (L, S, N)
    strengths = np.array([rung.strength for rung in ladder.rungs])
    codes = np.arange(int(chosen.sum())) if units.codes is None else units.codes
    sums, cases = _by_group(wrong, codes), group_sums(codes)
    seeds = len(shown[0])
    whole = fit(sums.sum(axis=(1, 2))[None], np.full((1, len(strengths)), seeds * cases.sum()), strengths)
    value = _thresholds(whole, criterion, strengths)[0]
    draws = criterion.draws if rows is None else criterion.class_draws
    drawn = _resampled(sums.sum(axis=1), seeds * cases, strengths, criterion, draws)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="inverted_cdf")
    if seeds > 1:
        each = fit(sums.sum(axis=2).T, np.full((seeds, len(strengths)), cases.sum()), strengths)
        low, high = _with_seeds(value, (low, high), _thresholds(each, criterion, strengths), strengths)
    accuracies = 1 - wrong.mean(axis=(1, 2))
    return Threshold(
        ladder, value, low, high, accuracies, whole,
        float(np.abs(1 - whole.errors(strengths)[0] - accuracies).max()), seeds, len(codes), _groups(units), units.unit,
    )  # fmt: skip


def _groups(units: Units) -> int | None:
    if units.codes is not None:
        return len(np.unique(units.codes))
    return None


def _by_group(wrong: NDArray[np.bool_], codes: NDArray[np.int64]) -> Floats:
    """(L, S, K): wrong images of each group."""
    return np.array([[group_sums(codes, one) for one in seeds] for seeds in wrong])


def _resampled(wrong: Floats, images: Floats, strengths: Floats, criterion: Criterion, draws: int) -> Floats:
    """The thresholds of `draws` draws of the groups, with `wrong` (L, K) of `images` (K,)."""
    random = np.random.default_rng(criterion.seed)
    groups = len(images)
    times = random.multinomial(groups, np.full(groups, 1 / groups), draws).astype(np.float64)
    shown = np.broadcast_to((times @ images)[:, None], (draws, len(strengths)))
    return _thresholds(fit(times @ wrong.T, shown, strengths), criterion, strengths)


def _thresholds(fits: Fits, criterion: Criterion, strengths: Floats) -> Floats:
    """inf above the strongest, since nothing was seen there."""
    found = fits.threshold(criterion.errors(fits))
    return np.where(found > strengths.max(), np.inf, found)


def _with_seeds(value: float, ends: tuple[float, float], each: Floats, strengths: Floats) -> tuple[float, float]:
    """`ends` widened by the spread of the thresholds of `each` seed; one above the strongest noise counts as at the
    strongest, and one far below the weakest as a tenth of that."""
    least, most = strengths[strengths > 0].min() / 10, strengths.max()
    middle, low, high = (math.log(min(max(one, least), most)) for one in (value, *ends))
    logs = np.log(np.clip(each, least, most))
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(each) - 1) * logs.std(ddof=1) / math.sqrt(len(each)))
    below, above = (math.exp(middle + sign * math.hypot(end - middle, half)) for sign, end in ((-1, low), (1, high)))
    return below, math.inf if not math.isfinite(ends[1]) or above > most else above
