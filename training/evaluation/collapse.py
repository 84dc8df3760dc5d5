"""Whether a generator makes few things, or copies its training images, as pure functions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy, mannwhitneyu

from training.evaluation.distributions import Floats

__all__ = ["class_entropy", "classes_missed", "nearer_to_training", "smallest_rms"]

Classes = NDArray[np.integer[Any]]
ROWS_AT_A_TIME = 1024


def classes_missed(predicted: Classes, real: Classes, least: float) -> list[int]:
    """Classes of the real images (their labels, (M,)) of which a classifier finds less than `least` times as many among
    the generated ones (its predictions, (N,)), by share."""
    count = int(max(predicted.max(), real.max())) + 1
    shares, shares_real = (np.bincount(labels, minlength=count) / len(labels) for labels in (predicted, real))
    return [int(label) for label in np.flatnonzero((shares_real > 0) & (shares < least * shares_real))]


def class_entropy(predicted: Classes) -> float:
    """Of the predicted classes, in nats: 0 where all are of one class, log C where C classes are equally many."""
    return float(entropy(np.bincount(predicted)))


def smallest_rms(images: NDArray[np.uint8], others: NDArray[np.uint8], rows: NDArray[np.int64]) -> Floats:
    """(N,): how far, in [0, 1], the values of each of `images` (N, …) are from those of the most similar of the images
    others[rows] (N, k, …), root mean square. Where its neighbours by features are given, an image that is much the same
    has a small one, in whatever way it came to be there twice: a generator of few images repeats them among N that are
    drawn (S. Arora et al., "Do GANs learn the distribution? Some theory and empirics", 2018, section 3)."""
    smallest = [
        np.sqrt(np.square(images[some, None] - others[rows[some]].astype(np.float32)).reshape(*rows[some].shape, -1)
                .mean(axis=2)).min(axis=1)
        for some in np.array_split(np.arange(len(images)), max(1, len(images) // ROWS_AT_A_TIME))
    ]  # fmt: skip
    return np.concatenate(smallest).astype(np.float64) / 255


def nearer_to_training(to_training: Floats, to_training_of_test: Floats) -> float:
    """The probability that a generated image lies nearer to the training images than a test image does, by the
    distances (N,) and (M,) of both to their nearest training image; half of ties count: 0.5 where generated images are
    to the training images as test images are, towards 1 where they are copies (C. Meehan et al., "A non-parametric test
    to detect data-copying in generative models", 2020, whose statistic this is, over all space at once)."""
    statistic = mannwhitneyu(to_training_of_test, to_training).statistic
    return float(statistic / (len(to_training) * len(to_training_of_test)))
