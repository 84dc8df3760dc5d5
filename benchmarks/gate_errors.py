"""How often the gate errs, and what it finds: the tables of docs/operations.md.

    python benchmarks/gate_errors.py [--draws N] [--signs N] [--seed N]

Batches are simulated. A network has a share of the 30 frames of each sign right; the shares of a cell follow a beta
distribution, with the accuracy and the spread between seeds that docs/results.md gives for three networks of the
default recipe, and intra-class correlations that were measured on GTSRB's validation tracks. Compared are designs: how
many seeds each side has, and whether the spread of seeds is part of the error (intervals.pairs) or only signs count.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm, t

from training.evaluation.intervals.holm import holm
from training.evaluation.intervals.paired import sign_flip
from training.evaluation.intervals.pairs import Pairs, Side
from training.retraining.gate import Gate

Floats = NDArray[np.float64]
Draw = Callable[[], tuple[Floats, Floats]]
FRAMES, FLIPS = 30, 1_999


class Cell(NamedTuple):
    """`spread`: the standard deviation between seeds, in points."""

    name: str
    accuracy: float
    correlation: float
    spread: float


CELLS = (
    Cell("clean", 0.9638, 0.27, 0.28), Cell("gaussian-min", 0.9559, 0.27, 0.37),
    Cell("gaussian-avg", 0.7197, 0.5, 3.45), Cell("gaussian-max", 0.4649, 0.58, 4.22),
    Cell("periodic-min", 0.7716, 0.38, 1.25), Cell("periodic-avg", 0.5380, 0.42, 1.65),
    Cell("periodic-max", 0.2859, 0.43, 1.97), Cell("salt_pepper-min", 0.9565, 0.27, 0.41),
    Cell("salt_pepper-avg", 0.9509, 0.27, 0.57), Cell("salt_pepper-max", 0.9339, 0.32, 0.72),
    Cell("fgsm-snr50", 0.9367, 0.40, 0.60), Cell("fgsm-snr45", 0.9107, 0.40, 0.81),
    Cell("fgsm-snr40", 0.8621, 0.43, 1.09), Cell("fgsm-snr33", 0.7140, 0.50, 2.04),
)  # fmt: skip
"""The correlations of adversarial cells are those of one network that was trained for six epochs on half of the
images."""
OF_SIGN, OF_CELL, OF_NETWORK = 0.55, 0.3, 0.15
"""Shares of the variance of a sign's difficulty: common to all cells, of the cell, and of the network in the cell, as
in interval_coverage.py."""
SHARED = 0.5
"""The share of the variance between seeds that all cells have in common."""
GRID = np.linspace(-6, 6, 1_201)
GAINS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Shares of the champion's errors that a better recipe makes no longer, in all cells."""


class Design(NamedTuple):
    champion: int
    challenger: int
    with_seeds: bool

    @property
    def name(self) -> str:
        return f"{self.champion} against {self.challenger}, {'signs and seeds' if self.with_seeds else 'signs alone'}"


DESIGNS = (
    Design(1, 1, with_seeds=False), Design(3, 3, with_seeds=False), Design(1, 3, with_seeds=True),
    Design(2, 2, with_seeds=True), Design(3, 3, with_seeds=True), Design(5, 5, with_seeds=True),
)  # fmt: skip


class Recipe:
    """Draws networks that differ in their seed alone."""

    def __init__(self, signs: int, random: np.random.Generator) -> None:
        self.signs, self.random = signs, random
        scales = [(1 - cell.correlation) / cell.correlation for cell in CELLS]
        self.tables = [
            beta.ppf(norm.cdf(GRID), cell.accuracy * scale, (1 - cell.accuracy) * scale)
            for cell, scale in zip(CELLS, scales, strict=True)
        ]
        self.shifts = np.array([self._shift(number) for number in range(len(CELLS))])

    def batch(self, *counts: int) -> list[Floats]:
        """For each count (count, cells, signs): the shares of frames that are right, of networks on the same signs."""
        signs = OF_SIGN**0.5 * self.random.normal(size=self.signs)
        signs = signs + OF_CELL**0.5 * self.random.normal(size=(len(CELLS), self.signs))
        return [self._networks(signs, count) for count in counts]

    def _networks(self, signs: Floats, count: int) -> Floats:
        shared, own = self.random.normal(size=(count, 1)), self.random.normal(size=(count, len(CELLS)))
        shift = self.shifts * (SHARED**0.5 * shared + (1 - SHARED) ** 0.5 * own)
        scores = signs + OF_NETWORK**0.5 * self.random.normal(size=(count, *signs.shape)) + shift[:, :, None]
        shares = [np.interp(scores[:, number], GRID, table) for number, table in enumerate(self.tables)]
        return self.random.binomial(FRAMES, np.stack(shares, axis=1)) / FRAMES

    def _shift(self, number: int) -> float:
        """The standard deviation of a seed's shift of all scores that gives the measured spread of accuracies."""
        weights, step = norm.pdf(GRID), 0.1
        up, down = (
            np.average(np.interp(GRID + by, GRID, self.tables[number]), weights=weights) for by in (step, -step)
        )
        return float(CELLS[number].spread / 100 / ((up - down) / (2 * step)))


def beyond(before: Floats, after: Floats, shift: float) -> Floats:
    """(C,): the p of the t test over signs and seeds of intervals.pairs, for all cells at once."""
    differences = after.mean(axis=0) - before.mean(axis=0)
    signs = differences.shape[1]
    by_sign = differences.var(axis=1, ddof=1) / signs
    freedom = len(before) + len(after) - 2
    squares = sum(((side.mean(axis=2) - side.mean(axis=(0, 2))) ** 2).sum(axis=0) for side in (before, after))
    by_seed = squares / freedom * (1 / len(before) + 1 / len(after))
    degrees = (by_sign + by_seed) ** 2 / (by_sign**2 / (signs - 1) + by_seed**2 / freedom)
    return np.asarray(t.sf((differences.mean(axis=1) + shift) / np.sqrt(by_sign + by_seed), degrees))


def p_values(
    before: Floats, after: Floats, with_seeds: bool, margin: float, flips: int = FLIPS
) -> tuple[Floats, Floats]:
    """(C,), (C,): of better and of worse, for shares (seeds, C, signs)."""
    differences = (after.mean(axis=0) - before.mean(axis=0)).T
    both = sign_flip(np.hstack([differences, -differences]), draws=flips)
    better, worse = both[: differences.shape[1]], both[differences.shape[1] :]
    if margin:
        error = differences.std(axis=0, ddof=1) / np.sqrt(len(differences))
        loss = t.sf((-differences.mean(axis=0) - margin) / error, len(differences) - 1)
        worse = np.maximum(worse, loss)
    if with_seeds:
        better = np.maximum(better, beyond(before, after, 0.0))
        worse = np.maximum(worse, beyond(after, before, -margin))
    return better, worse


def check(recipe: Recipe, margin: float) -> None:
    """That p_values are those of the gate."""
    before, after = recipe.batch(3, 3)
    groups = np.repeat(np.arange(recipe.signs), FRAMES).astype(str)
    better, worse = p_values(before, after, True, margin, flips=19_999)
    for cell in range(len(CELLS)):
        right = [np.arange(FRAMES) < np.round(side[:, cell, :, None] * FRAMES) for side in (before, after)]
        pairs = Pairs(*(Side(one.reshape(len(one), -1), groups) for one in right))
        found = pairs.p_better(), pairs.p_worse(margin)
        assert np.allclose(found, (better[cell], worse[cell]), atol=0.01), (
            CELLS[cell],
            found,
            better[cell],
            worse[cell],
        )


class Rates(NamedTuple):
    """In per cent of the batches. `better`: a cell is called better, whatever the others are."""

    better: float
    promoted: float
    worse: float
    neither: float


def rates(draw: Draw, with_seeds: bool, gate: Gate, draws: int) -> Rates:
    counts = np.zeros(4)
    for _ in range(draws):
        found = p_values(*draw(), with_seeds, gate.margin)
        better, worse = (bool((holm(p.tolist()) < gate.significance).any()) for p in found)
        counts += (better, better and not worse, worse, not better and not worse)
    return Rates(*(100 * counts / draws))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--signs", type=int, default=261)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    gate, recipe = Gate(), Recipe(given.signs, np.random.default_rng(given.seed))
    check(recipe, gate.margin)

    def swapped() -> tuple[Floats, Floats]:
        (both,) = recipe.batch(2)
        swap = recipe.random.random(given.signs) < 0.5
        first, second = both
        return np.where(swap, first, second)[np.newaxis], np.where(swap, second, first)[np.newaxis]

    def drawn(design: Design, gain: float = 0.0) -> Draw:
        def draw() -> tuple[Floats, Floats]:
            before, after = recipe.batch(design.champion, design.challenger)
            return before, after + gain * (1 - after)

        return draw

    print(f"{given.signs} signs, {len(CELLS)} cells, {given.draws:,} batches each, per cent\n")
    print("| null | a cell is better | promoted | refused as worse | refused as not better |\n|:--|--:|--:|--:|--:|")
    print(f"| networks swapped by sign, 1 against 1 | {row(rates(swapped, False, gate, given.draws))} |", flush=True)
    for design in DESIGNS:
        found = rates(drawn(design), design.with_seeds, gate, given.draws)
        print(f"| same recipe, {design.name} | {row(found)} |", flush=True)
    print("\nPromoted, if the challenger's recipe makes fewer errors in all cells, by that share of them\n")
    print("| design |", " | ".join(f"{100 * gain:.0f} %" for gain in GAINS), "|")
    print("|:--|", "--:|" * len(GAINS), sep="")
    for design in DESIGNS:
        shares = [rates(drawn(design, gain), design.with_seeds, gate, given.draws // 4).promoted for gain in GAINS]
        print(f"| {design.name} |", " | ".join(f"{share:.0f}" for share in shares), "|", flush=True)


def row(found: Rates) -> str:
    return " | ".join(f"{share:.1f}" for share in found)


if __name__ == "__main__":
    main()
