"""Do intervals cover, and do tests err, as often as they say? The tables of docs/performance.md.

    python benchmarks/interval_coverage.py [--draws N] [--gate-draws N] [--seed N]

Signs are simulated: the share of a sign's 30 frames that a network has right follows a beta distribution whose
intra-class correlation ρ is one that was measured on GTSRB's validation tracks (0.27: clean images; 0.43: periodic-max;
0.58: gaussian-max). A network's cells, and two networks, are correlated through a normal copula.
"""

import argparse
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm, t

from training.evaluation.intervals.holm import holm
from training.evaluation.intervals.paired import p_worse, sign_flip
from training.evaluation.intervals.proportions import Units, wilson_ends
from training.evaluation.intervals.seeds import over_seeds

Floats = NDArray[np.float64]
FRAMES = 30
SIGNIFICANCE = 0.05
CORRELATIONS = (0.27, 0.43, 0.58)
ACCURACIES = (0.5, 0.8, 0.95, 0.99, 0.997)
SIGNS = (100, 261, 421)
SIGNS_PER_CLASS = (2, 3, 5, 9, 25)
"""GTSRB's test set has 2 to 25 signs per class, 2 of them in 6 classes or more, 421 in all."""


class Cell(NamedTuple):
    name: str
    accuracy: float
    correlation: float


CELLS = (
    Cell("clean", 0.96, 0.27), Cell("gaussian-min", 0.95, 0.27), Cell("gaussian-avg", 0.72, 0.5),
    Cell("gaussian-max", 0.46, 0.58), Cell("periodic-min", 0.77, 0.38), Cell("periodic-avg", 0.54, 0.42),
    Cell("periodic-max", 0.29, 0.43), Cell("salt_pepper-min", 0.956, 0.27), Cell("salt_pepper-avg", 0.95, 0.27),
    Cell("salt_pepper-max", 0.93, 0.32),
)  # fmt: skip
"""Ten cells with the accuracies of docs/results.md and correlations as measured."""
RECIPES = (
    ("clean", 0.964, 0.27, 0.003),
    ("gaussian-max", 0.465, 0.58, 0.042),
    ("periodic-max", 0.286, 0.43, 0.02),
)
"""Cells of the best recipe of docs/results.md: name, accuracy, correlation, standard deviation over seeds."""
OF_SIGN, OF_CELL, OF_NETWORK, OF_NETWORK_IN_CELL = 0.55, 0.3, 0.08, 0.07
"""Shares of the variance of a sign's difficulty: common to all cells and networks, of the cell, of the network, and of
the network in the cell. They give differences of two networks the standard errors that were measured on 261 validation
tracks: 0.55 points on clean images, 1.8 on gaussian-max."""


def shares(accuracy: float, correlation: float, uniform: Floats) -> Floats:
    """The share of frames that are right, for uniform numbers of any shape."""
    scale = (1 - correlation) / correlation
    found: Floats = beta.ppf(uniform, accuracy * scale, (1 - accuracy) * scale)
    return found


def frames_right(random: np.random.Generator, cell: Cell, signs: int, draws: int) -> Floats:
    """(signs, draws)."""
    return random.binomial(FRAMES, shares(*cell[1:], random.random((signs, draws)))).astype(np.float64)


class Coverage(NamedTuple):
    """Of the intervals: how many of them cover, in per cent, and how wide they are, in points."""

    by_sign: float
    width: float
    by_image: float


def coverage(random: np.random.Generator, cell: Cell, signs: int, draws: int) -> Coverage:
    right = frames_right(random, cell, signs, draws)
    cases = np.full(right.shape, float(FRAMES))
    found = Units("group", np.arange(signs)).proportions(right, cases)
    low, high = wilson_ends(right.sum(axis=0) / (FRAMES * signs), np.full(draws, float(FRAMES * signs)))
    ends = ((found.low, found.high), (low, high))
    by_sign, by_image = (100 * float(((a <= cell.accuracy) & (cell.accuracy <= b)).mean()) for a, b in ends)
    return Coverage(by_sign, 100 * float((found.high - found.low).mean()), by_image)


def print_coverage(random: np.random.Generator, signs_of: tuple[int, ...], draws: int) -> None:
    """Coverage by sign, its mean width, and the coverage if images are counted, for each correlation."""
    print("| signs | true accuracy, % |", " | ".join(f"ρ = {value}" for value in CORRELATIONS), "|")
    print("|--:|--:|", ":-:|" * len(CORRELATIONS), sep="")
    for signs in signs_of:
        for accuracy in ACCURACIES:
            found = (coverage(random, Cell("", accuracy, value), signs, draws) for value in CORRELATIONS)
            cells = " | ".join(f"{one.by_sign:.1f} (± {one.width / 2:.2f}); {one.by_image:.0f}" for one in found)
            print(f"| {signs} | {100 * accuracy:g} | {cells} |")


def recipe(random: np.random.Generator, cell: Cell, sd: float, seeds: int, signs: int) -> NDArray[np.bool_]:
    """(seeds, signs · FRAMES): which frames the networks of a recipe have right, whose accuracies spread by `sd`."""
    own = OF_NETWORK + OF_NETWORK_IN_CELL
    scores = (1 - own) ** 0.5 * random.normal(size=signs) + own**0.5 * random.normal(size=(seeds, signs))
    accuracies = np.clip(cell.accuracy + sd * random.normal(size=(seeds, 1)), 0.001, 0.999)
    scale = (1 - cell.correlation) / cell.correlation
    right = beta.ppf(norm.cdf(scores), accuracies * scale, (1 - accuracies) * scale)
    return np.asarray(random.random((seeds, signs, FRAMES)).reshape(seeds, -1) < right.repeat(FRAMES, axis=1))


def print_recipes(random: np.random.Generator, draws: int) -> None:
    """Coverage of intervals over seeds and signs, of one network's over signs, and over seeds alone."""
    print("| cell | accuracy, % | sd over seeds | seeds | seeds and signs | signs, one network | seeds (Student) |")
    print("|:--|--:|--:|--:|:-:|--:|--:|")
    for name, accuracy, correlation, sd in RECIPES:
        for seeds in (3, 5):
            units = Units("group", np.arange(SIGNS[-1]).repeat(FRAMES))
            covered, width = np.zeros((draws, 3)), 0.0
            for draw in range(draws):
                right = recipe(random, Cell(name, accuracy, correlation), sd, seeds, SIGNS[-1])
                both = over_seeds(units, right)
                signs = over_seeds(units, np.broadcast_to(right[draw % seeds], right.shape)).interval
                half = float(t.ppf(0.975, seeds - 1)) * both.sd / seeds**0.5
                mean = both.interval.value or 0.0
                ends = both.interval[1:3], signs[1:3], (mean - half, mean + half)
                covered[draw] = [(low or 0.0) <= accuracy <= (high or 0.0) for low, high in ends]
                width += 100 * ((both.interval.high or 0.0) - (both.interval.low or 0.0)) / draws
            shown = 100 * covered.mean(axis=0)
            cells = f"{shown[0]:.1f} (± {width / 2:.2f}) | {shown[1]:.1f} | {shown[2]:.1f}"
            print(f"| {name} | {100 * accuracy:g} | {100 * sd:.1f} | {seeds} | {cells} |")


def two_networks(random: np.random.Generator, signs: int) -> tuple[Floats, Floats]:
    """Frames that are right (cells, signs), of two networks of one recipe."""
    sign, of_cell = random.normal(size=signs), random.normal(size=(len(CELLS), signs))
    scores = (
        OF_SIGN**0.5 * sign
        + OF_CELL**0.5 * of_cell
        + OF_NETWORK**0.5 * random.normal(size=signs)
        + OF_NETWORK_IN_CELL**0.5 * random.normal(size=of_cell.shape)
        for _ in range(2)
    )
    first, second = (
        np.array([shares(*cell[1:], one) for cell, one in zip(CELLS, norm.cdf(score), strict=True)]) for score in scores
    )
    right = (random.binomial(FRAMES, share).astype(np.float64) for share in (first, second))
    return next(right), next(right)


def swapped(random: np.random.Generator, signs: int, draws: int) -> Floats:
    """(signs, cells, draws): differences under an exact null: two networks are exchanged by sign, in all cells."""
    networks = (two_networks(random, signs) for _ in range(draws))
    differences = np.stack([other - one for one, other in networks], axis=-1).swapaxes(0, 1)
    flipped: Floats = differences * (2.0 * random.integers(0, 2, (signs, 1, draws)) - 1)
    return flipped


class Errors(NamedTuple):
    """How often one test errs, and how often a gate of ten cells does, in per cent."""

    one_cell: float
    gate: float


def errors(differences: Floats, p_values: Floats) -> Errors:
    """Of `p_values` (cells · draws,)."""
    _, cells, draws = differences.shape
    by_draw = p_values.reshape(cells, draws)
    gates = [bool((holm(own.tolist()) < SIGNIFICANCE).any()) for own in by_draw.T]
    return Errors(100 * float((by_draw < SIGNIFICANCE).mean()), 100 * float(np.mean(gates)))


def print_errors(random: np.random.Generator, draws: int) -> None:
    print(
        "| signs | better: one cell | the gate | worse, margin 0: one cell | the gate | worse, margin 0.005: the gate |"
    )
    print("|--:|--:|--:|--:|--:|--:|")
    for signs in SIGNS:
        differences = swapped(random, signs, draws)
        sums = differences.reshape(signs, -1)
        cases = np.full(sums.shape, float(FRAMES))
        better = errors(differences, sign_flip(sums))
        worse, beyond = (errors(differences, p_worse(sums, cases, margin)) for margin in (0.0, 0.005))
        numbers = better.one_cell, better.gate, worse.one_cell, worse.gate, beyond.gate
        print(f"| {signs} | {' | '.join(f'{number:.1f}' for number in numbers)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2_000)
    parser.add_argument("--gate-draws", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("Coverage of 95 % intervals in per cent (mean half width in points); if images are counted\n")
    print_coverage(np.random.default_rng(given.seed), SIGNS, given.draws)
    print("\nRecall of a class\n")
    print_coverage(np.random.default_rng(given.seed), SIGNS_PER_CLASS, given.draws)
    print("\nCoverage of intervals of a recipe, 421 signs, per cent (mean half width in points)\n")
    print_recipes(np.random.default_rng(given.seed), given.gate_draws)
    print("\nHow often the tests err at 5 % if networks are swapped by sign, per cent; the gate: Holm over ten cells\n")
    print_errors(np.random.default_rng(given.seed), given.gate_draws)


if __name__ == "__main__":
    main()
