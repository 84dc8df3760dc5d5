"""Measures of mode collapse and of memorized training images, as pure functions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy, mannwhitneyu

from training.evaluation.gans.distributions import Floats

__all__ = ["class_entropy", "classes_missed", "nearer_to_training", "smallest_difference"]

Classes = NDArray[np.integer[Any]]
ROWS_AT_A_TIME = 256


def classes_missed(predicted: Classes, real: Classes, least: float) -> list[int]:
    """The classes whose share among the predictions for generated images (N,) is less than `least` times their share
    among the labels of real images (M,)."""
    count = int(max(predicted.max(), real.max())) + 1
    shares, shares_real = (np.bincount(labels, minlength=count) / len(labels) for labels in (predicted, real))
    return [int(label) for label in np.flatnonzero((shares_real > 0) & (shares < least * shares_real))]


def class_entropy(predicted: Classes) -> float:
    """The entropy of the predicted classes, in nats: 0 if all are of one class, log C if C classes are equally
    frequent."""
    return float(entropy(np.bincount(predicted)))


def smallest_difference(images: NDArray[np.uint8], others: NDArray[np.uint8], rows: NDArray[np.int64]) -> Floats:
    """(N,): the difference between each of `images` (N, …) and the most similar of the images others[rows] (N, k, …):
    root mean square, relative to the standard deviation of its own values, so that dark images do not count as similar
    just because they are dark. 0 for an equal image, about √2 for an unrelated one.

    If `rows` are its neighbours by features, a small value reveals an image that occurs twice, for whatever reason: a
    generator of few images repeats them among N samples (S. Arora et al., "Do GANs learn the distribution? Some theory
    and empirics", 2018, section 3)."""
    pieces = np.array_split(np.arange(len(images)), max(1, len(images) // ROWS_AT_A_TIME))
    smallest = np.concatenate([_smallest_rms(images[some], others[rows[some]]) for some in pieces])
    contrast = images.reshape(len(images), -1).std(axis=1, dtype=np.float64)
    relative = np.full(len(images), np.inf)
    np.divide(smallest, contrast, out=relative, where=contrast > 0)
    relative[smallest == 0] = 0
    return relative


def _smallest_rms(images: NDArray[np.uint8], others: NDArray[np.uint8]) -> Floats:
    """The smallest root mean square difference of each image (N, …) from its own others (N, k, …), in grey levels."""
    differences = np.subtract(images[:, None], others, dtype=np.float32).reshape(*others.shape[:2], -1)
    smallest: Floats = np.sqrt(np.square(differences).mean(axis=2, dtype=np.float64)).min(axis=1)
    return smallest


def nearer_to_training(to_training: Floats, to_training_of_test: Floats) -> float:
    """The probability that a generated image is nearer to the training images than a test image is, from the distances
    (N,) and (M,) of both to their nearest training image; ties count half. 0.5 if generated images are as far from the
    training images as test images are, towards 1 if they are copies (C. Meehan et al., "A non-parametric test to detect
    data-copying in generative models", 2020; their statistic, over the whole space at once)."""
    statistic = mannwhitneyu(to_training_of_test, to_training).statistic
    return float(statistic / (len(to_training) * len(to_training_of_test)))
