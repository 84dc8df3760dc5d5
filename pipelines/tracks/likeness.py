"""How likely it is that one image follows another on a track, learned from tracks that are known.

Directions in which consecutive frames of a track differ least, relative to the spread over images of the class, are
those of slow feature analysis (L. Wiskott, T. J. Sejnowski, "Slow feature analysis", Neural Computation 14, 2002).
In each of them two frames of one track are taken as correlated normal variables, two others as independent ones."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.decomposition import PCA

from pipelines.tracks.views import Views

__all__ = ["Likeness"]

COMPONENTS = 80
"""Of each of the four features."""
DIRECTIONS = 60
FITTED_ON = 5000
"""Images at most from which the components are computed."""
MIN_IMAGES = 20
"""For each component."""
RIDGE, SPREAD_RIDGE = 0.02, 1e-4
"""So much of the noise's, and of the images', own variance is added to it."""
TINY = 1e-6
"""Is added as well, for features that are the same in all images."""
SHAPE_WEIGHTS = (5.0, 5.0, 1.0, 1.0)
DOUBT = 2.0
"""The noise in a direction is taken as so many times the measured one."""
TEMPERATURE = 10.0
"""Log-odds are divided by it, as directions are not independent."""
MAX_DEVIATIONS = 5.0
STEP, STEP_COST = 0.15, 30.0
"""A link costs the latter for each unit by which the sizes' logarithm grows by more than the former."""
LEAST = -12.0
"""Of a link's log-odds, about: light changes abruptly now and then, between frames that do follow each other."""
DETOURS, DETOUR_COST, DETOUR_IMAGES = 2, 1.0, 12
"""How many images a detour may lead by (1, 3, 7 … for 1, 2, 3 rounds), what each round costs, and how many of the most
likely neighbours are tried."""


class Likeness(NamedTuple):
    """`means` by feature and label, `components` by feature with their scale, `directions` (values, D), and the
    `correlations` (D,) of two frames that follow each other."""

    means: list[dict[int, NDArray[np.float32]]]
    components: list[NDArray[np.float32]]
    directions: NDArray[np.float64]
    correlations: NDArray[np.float64]

    @classmethod
    def fit(cls, views: Views, tracks: NDArray[np.intp]) -> "Likeness":
        """Of images whose tracks are known, by number."""
        labels = views.labels
        means, components, columns = [], [], []
        for features in (*views.features(), _shape(views)):
            mean = {int(label): features[labels == label].mean(axis=0) for label in np.unique(labels)}
            centred = _centred(features, labels, mean)
            axes = (
                _principal(centred) if features.shape[1] > COMPONENTS else np.eye(features.shape[1], dtype=np.float32)
            )
            scores = centred @ axes
            if features.shape[1] > COMPONENTS:
                scale = scores.std(axis=0).max()
                axes, scores = axes / scale, scores / scale
            means.append(mean)
            components.append(axes)
            columns.append(scores)
        values = np.concatenate(columns, axis=1).astype(np.float64)
        noise, spread = _noise(values, tracks, views.log_size), np.cov(values.T)
        noise += np.diag(RIDGE * np.diag(noise) + TINY)
        spread += np.diag(SPREAD_RIDGE * np.diag(spread) + TINY)
        ratios, directions = eigh(noise, spread, subset_by_index=(0, min(DIRECTIONS, len(noise)) - 1))
        return cls(means, components, directions, np.maximum(1 - DOUBT * ratios, 0.05))

    def describe(self, views: Views) -> NDArray[np.float64]:
        """(N, D): the images in the directions, each with variance 1 where it was fitted."""
        columns = [
            _centred(features, views.labels, mean) @ axes
            for features, mean, axes in zip(
                (*views.features(), _shape(views)), self.means, self.components, strict=True
            )
        ]
        values = np.concatenate(columns, axis=1) @ self.directions
        clipped: NDArray[np.float64] = np.clip(values, -MAX_DEVIATIONS, MAX_DEVIATIONS)
        return clipped

    def links(self, described: NDArray[np.float64], log_size: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, N), symmetric: scaled log-odds that one of two images follows the other, also by way of images between
        which the links are likelier: where light changes while a sign hardly grows, order of size is not order of time.
        Images in order of size."""
        r = self.correlations
        unexplained = 1 - r**2
        squares = described**2 @ (r**2 / unexplained)
        products = (described * (r / unexplained)) @ described.T
        odds = products - (squares[:, np.newaxis] + squares) / 2 - np.log(unexplained).sum() / 2
        growth = log_size - log_size[:, np.newaxis]
        direct = np.triu(np.logaddexp(odds / TEMPERATURE - STEP_COST * np.maximum(growth - STEP, 0), LEAST), 1)
        both: NDArray[np.float64] = direct + direct.T
        np.fill_diagonal(both, -np.inf)
        for _ in range(DETOURS):
            both = _with_detours(both)
        return both


def _with_detours(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each link, or the weaker of the two links by way of a third image, less the cost, where that is likelier."""
    nearest = np.argsort(-odds, axis=1, kind="stable")[:, :DETOUR_IMAGES]
    best = odds.copy()
    for via in nearest.T:
        first = odds[np.arange(len(odds)), via][:, np.newaxis]
        np.maximum(best, np.minimum(first, odds[via]) - DETOUR_COST, out=best)
    best = np.maximum(best, best.T)
    np.fill_diagonal(best, -np.inf)
    return best


def _shape(views: Views) -> NDArray[np.float32]:
    return (views.shape * SHAPE_WEIGHTS).astype(np.float32)


def _centred(
    features: NDArray[np.float32], labels: NDArray[np.int64], means: dict[int, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Without the mean of the class; of a class that is not among them, without its own."""
    centred = np.empty_like(features)
    for label in np.unique(labels):
        rows = labels == label
        mean = means[int(label)] if int(label) in means else features[rows].mean(axis=0)
        centred[rows] = features[rows] - mean
    return centred


def _principal(centred: NDArray[np.float32]) -> NDArray[np.float32]:
    """(values, components): the directions of most variance in a fixed sample, scaled to a variance of at most 1."""
    rows = np.random.default_rng(0).permutation(len(centred))[:FITTED_ON]
    sample = centred[np.sort(rows)]
    components = max(1, min(COMPONENTS, sample.shape[1], len(sample) // MIN_IMAGES))
    pca = PCA(components, svd_solver="randomized", iterated_power=2, random_state=0).fit(sample)
    axes: NDArray[np.float32] = pca.components_.T / np.sqrt(pca.explained_variance_.max())
    return axes.astype(np.float32)


def _noise(values: NDArray[np.float64], tracks: NDArray[np.intp], log_size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the mean product of the differences of frames that follow each other in size on a track."""
    order = np.lexsort((log_size, tracks))
    steps = np.diff(values[order], axis=0)[np.diff(tracks[order]) == 0]
    noise: NDArray[np.float64] = steps.T @ steps / (2 * len(steps))
    return noise
