"""How often the 95 % interval of a failure threshold contains the true one, for simulated networks whose threshold is
known.

    python benchmarks/threshold_coverage.py [batches]

A network is wrong on an image without noise with the probability of its sign, and under noise of strength x if
ln(x / middle) exceeds the sum of the image's, the sign's and the seed's own normal share; so the average over signs and
seeds is a psychometric function with a known threshold. GTSRB's test images: 421 signs of 30 frames."""

import sys
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pipelines.noise.gaussian import Gaussian
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.intervals.psychometric import Fits
from training.evaluation.robustness.ladders import Ladder, Rung
from training.evaluation.robustness.thresholds import Criterion, find_threshold

SIGNS, FRAMES, CLASSES = 421, 30, 43
STRENGTHS = (0.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 50.0, 60.0, 75.0, 100.0)
BATCHES = 1000


class Truth(NamedTuple):
    """Standard deviations of ln(strength) between images, signs and seeds; `lapse` is the mean share of errors without
    noise, of signs whose own ones have a beta distribution."""

    middle: float
    of_images: float
    of_signs: float
    of_seeds: float
    lapse: float

    def threshold(self, criterion: Criterion) -> float:
        spread = (self.of_images**2 + self.of_signs**2 + self.of_seeds**2) ** 0.5
        whole = Fits(*(np.array([one]) for one in (self.lapse, 1 - 1 / CLASSES, self.middle, 1 / spread)))
        return float(whole.threshold(criterion.errors(whole))[0])


def simulated(
    truth: Truth, seeds: int, random: np.random.Generator, signs: int = SIGNS, frames: int = FRAMES
) -> list[list[Predictions]]:
    """[strength][seed] of one batch of signs. The noise of an image is the same at all strengths and for all seeds."""
    images = signs * frames
    sign = np.repeat(np.arange(signs), frames)
    own = random.normal(0, truth.of_signs, signs)[sign] + random.normal(0, truth.of_images, images)
    rate = random.beta(truth.lapse / 4, (1 - truth.lapse) / 4, signs)[sign]
    lapses, guesses = random.random(images) < rate, random.random(images) < 1 / CLASSES
    shift = random.normal(0, truth.of_seeds, seeds)
    names, labels = sign.astype(np.str_), np.zeros(images, np.int64)
    probabilities = np.full((images, CLASSES), 1 / CLASSES, np.float32)

    def at(strength: float, seed: int) -> Predictions:
        failed = np.log(max(strength, 1e-30) / truth.middle) > own + shift[seed]
        right = ~lapses & (~failed | guesses)
        noise = None if strength == 0 else Gaussian(std_grey=strength)
        return Predictions(names, labels, np.where(right, 0, 1), probabilities, "", groups=names, noise=noise)

    return [[at(strength, seed) for seed in range(seeds)] for strength in STRENGTHS]


def covered(truth: Truth, seeds: int, criterion: Criterion, batches: int, signs: int, seed: int = 0) -> float:
    ladder = Ladder(
        "gaussian", "grey levels", "standard deviation", tuple(Rung(strength, str(strength)) for strength in STRENGTHS)
    )
    true, hits = truth.threshold(criterion), 0
    for number in range(batches):
        shown = simulated(truth, seeds, np.random.default_rng([seed, number]), signs)
        found = find_threshold(ladder, shown, criterion)
        hits += found.low <= true <= found.high
    return hits / batches


def main(arguments: Sequence[str]) -> int:
    batches = int(arguments[0]) if arguments else BATCHES
    console = Console()
    table = Table(
        "signs",
        "seeds",
        "spread of seeds",
        "clean errors, %",
        "true threshold",
        "covered, %",
        title="intervals of thresholds",
    )
    cases = list(product((SIGNS, 100), ((1, 0.0), (3, 0.03), (3, 0.15), (5, 0.1)), (0.005, 0.04)))
    for signs, (seeds, of_seeds), lapse in track(cases, "", console=console, transient=True):
        truth, criterion = Truth(35.0, 0.5, 0.6, of_seeds, lapse), Criterion(draws=500)
        share = covered(truth, seeds, criterion, batches, signs)
        table.add_row(
            str(signs), str(seeds), f"{of_seeds}", f"{100 * lapse:.1f}", f"{truth.threshold(criterion):.1f}",
            f"{100 * share:.1f}",
        )  # fmt: skip
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
