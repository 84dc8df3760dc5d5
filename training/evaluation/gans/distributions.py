"""Distances between generated and real images, as pure functions of the features or the class probabilities of both.

Features are (N, d) for N generated and (M, d) for M real images, of any floating dtype; all computations are in
float64. Random numbers come from the given generator. A value depends on the network that the features are from and,
except for KID, on N and M: compare only values of the same network and the same numbers of images."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, svdvals
from scipy.special import rel_entr
from sklearn.neighbors import NearestNeighbors

from training.evaluation.classifiers.predicting import EvaluationError

__all__ = [
    "Agreement", "Floats", "Spread", "agreement", "frechet_distance", "inception_score", "kernel_distance", "nearest",
]  # fmt: skip

Floats = NDArray[np.float64]
Features = NDArray[np.floating[Any]]
ROWS_AT_A_TIME = 256


class Spread(NamedTuple):
    """Mean and standard deviation (of a population, as in torch-fidelity) over subsets or splits of `size`."""

    mean: float
    sd: float
    size: int


class Agreement(NamedTuple):
    """precision: share of generated images that lie among the real ones; recall: share of real images that lie among
    the generated ones; density: how densely real images lie around the generated ones, 1 if both are alike; coverage:
    share of real images that have a generated one near."""

    precision: float
    recall: float
    density: float
    coverage: float


def frechet_distance(generated: Features, real: Features) -> float:
    """The squared Fréchet distance of the Gaussians with the features' means and covariances, |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ −
    2 (Σ₁Σ₂)^½); for Inception's features it is FID (M. Heusel et al., "GANs trained by a two time-scale update rule
    converge to a local Nash equilibrium", 2017, equation 6).

    The trace of the root is the sum of the singular values of Σ₁^½ Σ₂^½, so that no eigenvalue can become complex.
    Raises EvaluationError if either set has no more images than dimensions: its covariance then does not have full
    rank, and the value depends mainly on the number of images; use kernel_distance."""
    _check(generated, real)
    images, dimensions = min(len(generated), len(real)), real.shape[1]
    if images <= dimensions:
        raise EvaluationError(f"{images:,} images are too few for features of {dimensions} dimensions; use KID")
    (mean, covariance), (mean_real, covariance_real) = (_moments(features) for features in (generated, real))
    overlap = svdvals(_root(covariance) @ _root(covariance_real)).sum()
    return float(np.square(mean - mean_real).sum() + covariance.trace() + covariance_real.trace() - 2 * overlap)


def kernel_distance(
    generated: Features, real: Features, random: np.random.Generator, subsets: int = 100, subset_size: int = 1000
) -> Spread:
    """The squared maximum mean discrepancy, unbiased, under the kernel (x·y / d + 1)³, over subsets drawn without
    replacement; for Inception's features it is KID (M. Bińkowski et al., "Demystifying MMD GANs", 2018, section 4).

    It does not require a minimum number of images, and may be slightly negative. Subsets are no larger than the smaller
    set. Raises EvaluationError if that has one image."""
    _check(generated, real)
    size = min(subset_size, len(generated), len(real))
    if size < 2:
        raise EvaluationError("KID needs two images of each kind")
    distances = [
        _discrepancy(*(features[random.choice(len(features), size, replace=False)] for features in (generated, real)))
        for _ in range(subsets)
    ]
    return Spread(float(np.mean(distances)), float(np.std(distances)), size)


def inception_score(probabilities: Features, random: np.random.Generator, splits: int = 10) -> Spread:
    """exp of the mean KL divergence of an image's class probabilities (N, classes) from those of its split, over random
    splits of equal size (T. Salimans et al., "Improved techniques for training GANs", 2016, section 4): 1 to the number
    of classes. It does not use real images. Raises EvaluationError if there are fewer images than splits."""
    if len(probabilities) < splits:
        raise EvaluationError(f"{len(probabilities)} images cannot be divided into {splits} splits")
    shuffled = random.permutation(np.asarray(probabilities, np.float64))
    scores = [
        np.exp(rel_entr(split, split.mean(axis=0)).sum(axis=1).mean()) for split in np.array_split(shuffled, splits)
    ]
    return Spread(float(np.mean(scores)), float(np.std(scores)), len(shuffled) // splits)


def agreement(generated: Features, real: Features, neighbours: int = 3) -> Agreement:
    """Precision and recall of T. Kynkäänniemi et al., "Improved precision and recall metric for assessing generative
    models", 2019, equations 1 and 2: whether an image lies in a ball around one of the other set, whose radius is the
    distance to that image's k-th neighbour in its own set. Density and coverage of M. F. Naeem et al., "Reliable
    fidelity and diversity metrics for generative models", 2020, section 3: the number of such balls around real images,
    divided by k; and the share of real images whose own ball contains a generated one. Raises EvaluationError if either
    set has no more than k images."""
    _check(generated, real)
    reach, reach_real = (nearest(features, None, neighbours)[0][:, -1] ** 2 for features in (generated, real))
    balls = np.zeros(len(generated))
    among, near = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows, distances in _squared_distances(generated, real):
        inside = distances <= reach_real
        balls[rows] = np.count_nonzero(inside, axis=1)
        near |= inside.any(axis=0)
        among |= (distances <= reach[rows, None]).any(axis=0)
    return Agreement(
        float((balls > 0).mean()), float(among.mean()), float(balls.mean() / neighbours), float(near.mean())
    )


def nearest(features: Features, others: Features | None, count: int) -> tuple[Floats, NDArray[np.int64]]:
    """Euclidean distances (N, count), in ascending order, of the nearest of `others`, and their rows; if `others` is
    None, of the nearest of `features` other than itself. Raises EvaluationError if there are fewer."""
    there = len(features) - 1 if others is None else len(others)
    if there < count:
        raise EvaluationError(f"{count} neighbours were requested, but there are {there} other images")
    index = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(features if others is None else others)
    distances, rows = index.kneighbors(None if others is None else features)
    return distances.astype(np.float64), rows


def _check(generated: Features, real: Features) -> None:
    for features in (generated, real):
        if features.ndim != 2 or features.shape[1] != real.shape[1]:
            raise ValueError(f"expected features (N, d) and (M, d), got {generated.shape} and {real.shape}")
        if not np.isfinite(features).all():
            raise EvaluationError("features are not finite; the network or the images are not usable")


def _moments(features: Features) -> tuple[Floats, Floats]:
    values = np.asarray(features, np.float64)
    return values.mean(axis=0), np.cov(values, rowvar=False).reshape(values.shape[1], -1)


def _root(covariance: Floats) -> Floats:
    """The symmetric square root of a matrix that is positive semidefinite except for rounding."""
    values, vectors = eigh(covariance)
    root: Floats = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def _discrepancy(one: Features, other: Features) -> float:
    size = len(one)
    among = sum(_kernel(own, own).sum() - _kernel_of_itself(own).sum() for own in (one, other))
    return float(among / (size * (size - 1)) - 2 * _kernel(one, other).mean())


def _kernel(one: Features, other: Features) -> Floats:
    products: Floats = (np.asarray(one, np.float64) / one.shape[1]) @ np.asarray(other, np.float64).T
    products += 1
    cubes = products * products  # ** 3 takes twenty times as long
    cubes *= products
    return cubes


def _kernel_of_itself(one: Features) -> Floats:
    values: Floats = (np.square(one, dtype=np.float64).sum(axis=1) / one.shape[1] + 1) ** 3
    return values


def _squared_distances(generated: Features, real: Features) -> Iterator[tuple[slice, Floats]]:
    """The distances of some generated images at a time to all real ones."""
    one, other = (np.asarray(features, np.float64) for features in (generated, real))
    own = np.square(other).sum(axis=1)
    for start in range(0, len(one), ROWS_AT_A_TIME):
        rows = one[start : start + ROWS_AT_A_TIME]
        distances = (-2 * rows) @ other.T
        distances += own
        distances += np.square(rows).sum(axis=1)[:, None]
        yield slice(start, start + len(rows)), distances
