"""A class's images as tracks of equal length: disjoint paths in order of size, along which each link is likely.

The frames of a track grow, so in order of size they form a path, and all images of a class together are covered by as
many disjoint paths as it has tracks. The cover with the likeliest links is an assignment problem (L. R. Ford,
D. R. Fulkerson, "Flows in Networks", 1962, section II.8). It fixes the number of paths, not their lengths; these become
equal by dividing two paths at a time anew, the best division of which dynamic programming finds."""

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

__all__ = ["cover", "equal_paths", "value"]

Scores = NDArray[np.float64]
"""(N, N): log-odds of the link from image i to image j > i, in order of size; the rest is not read."""
PENALTIES = (2.0, 6.0, 20.0, 1e6)
"""Of one frame more or less than a track has, one after the other; the last one outweighs all scores."""
NEAREST = 6
"""Two paths are divided anew where an image of one is among so many most likely links of an image of the other, or
their lengths are wrong."""
SWEEPS = 6
FORBIDDEN = 1e6


def cover(scores: Scores, paths: int) -> list[NDArray[np.intp]]:
    """All images as `paths` disjoint paths of the largest sum of scores; `paths` is not more than there are images."""
    images = len(scores)
    costs = np.zeros((images + paths, images + paths))
    costs[:images, :images] = np.where(_later(images), -scores, FORBIDDEN)
    costs[images:, images:] = FORBIDDEN  # a row or column beyond the images is the begin or the end of a path
    start, end = linear_sum_assignment(costs)
    links = (start < end) & (end < images)
    graph = coo_matrix((np.ones(links.sum()), (start[links], end[links])), shape=(images, images))
    names = connected_components(graph, directed=False)[1]
    return [np.flatnonzero(names == name) for name in range(names.max() + 1)]


def equal_paths(scores: Scores, length: int) -> list[NDArray[np.intp]]:
    """All images as paths of `length` images each. Their number must be a multiple of it."""
    number, rest = divmod(len(scores), length)
    if rest:
        raise ValueError(f"{len(scores)} images are no multiple of {length}")
    paths = cover(scores, number)
    paths += [np.empty(0, np.intp)] * (number - len(paths))
    near = _neighbours(scores)
    for penalty in PENALTIES:
        changed = set(range(number))
        for _ in range(SWEEPS):
            changed = _sweep(scores, paths, near, length, penalty, changed)
            if not changed:
                break
    _settle(scores, paths, length)
    return paths


def value(scores: Scores, path: NDArray[np.intp]) -> float:
    """The sum of the scores of its links."""
    return float(scores[path[:-1], path[1:]].sum())


def _sweep(
    scores: Scores,
    paths: list[NDArray[np.intp]],
    near: NDArray[np.bool_],
    length: int,
    penalty: float,
    changed: set[int],
) -> set[int]:
    """Divides pairs anew, of which one has been `changed`. Returns the changed paths."""
    now: set[int] = set()
    for a, b in itertools.combinations(range(len(paths)), 2):
        right = len(paths[a]) == len(paths[b]) == length
        apart = not near[np.ix_(paths[a], paths[b])].any()
        if (a not in changed and b not in changed) or (apart and (right or penalty < PENALTIES[-1])):
            continue
        before = sum(value(scores, path) - penalty * abs(len(path) - length) for path in (paths[a], paths[b]))
        first, second, best = divide(scores, np.sort(np.concatenate([paths[a], paths[b]])), length, penalty)
        if best > before + 1e-6:
            paths[a], paths[b] = first, second
            now |= {a, b}
    return now


def _settle(scores: Scores, paths: list[NDArray[np.intp]], length: int) -> None:
    """Divides paths that are too long or too short, until none is."""
    while wrong := [number for number, path in enumerate(paths) if len(path) != length]:
        longest = max(wrong, key=lambda number: len(paths[number]))
        shortest = min(wrong, key=lambda number: len(paths[number]))
        both = np.sort(np.concatenate([paths[longest], paths[shortest]]))
        paths[longest], paths[shortest], _ = divide(scores, both, length, PENALTIES[-1], only_first=True)


def divide(
    scores: Scores, images: NDArray[np.intp], length: int, penalty: float, *, only_first: bool = False
) -> tuple[NDArray[np.intp], NDArray[np.intp], float]:
    """The two paths through sorted `images` of the largest sum of scores, less `penalty` for each image that a path (or
    the first alone) has more or less than `length`, and that sum."""
    count = len(images)
    sizes = np.arange(count + 1)
    fines = penalty * np.abs(sizes - length).astype(float)
    if not only_first:
        fines += penalty * np.abs(count - sizes - length)
    table, steps = _table(scores[np.ix_(images, images)])
    total = table - fines
    other, size = np.unravel_index(total.argmax(), total.shape)
    first = _traced(steps, int(other), int(size))
    return images[first], images[~first], float(total[other, size])


def _table(scores: Scores) -> tuple[Scores, list[NDArray[np.intp]]]:
    """The best sums over all images by (the last image of the path that does not hold the last image, or N where that
    path is empty; the number of images on the path that holds it), and for each image, by that number, which last image
    of the other path is the best to go on from."""
    count = len(scores)
    best = np.full((count + 1, count + 1), -np.inf)
    best[count, 1] = 0.0
    steps = []
    for image in range(count - 1):
        stays = np.full_like(best, -np.inf)
        stays[:, 1:] = best[:, :-1] + scores[image, image + 1]
        crosses = best + np.append(scores[:, image + 1], 0.0)[:, np.newaxis]
        step = crosses.argmax(axis=0)
        sizes = np.arange(1, image + 2)
        stays[image, image + 2 - sizes] = crosses[step[sizes], sizes]
        steps.append(step)
        best = stays
    return best, steps


def _traced(steps: list[NDArray[np.intp]], other: int, size: int) -> NDArray[np.bool_]:
    """Which images are on the path that holds the last one."""
    image = len(steps)
    first = np.zeros(image + 1, bool)
    side = True
    while True:
        first[image] = side
        if image == 0:
            return first
        if other == image - 1:
            size = image + 1 - size
            other = int(steps[image - 1][size])
            side = not side
        else:
            size -= 1
        image -= 1


def _neighbours(scores: Scores) -> NDArray[np.bool_]:
    both = np.where(_later(len(scores)), scores, -np.inf)
    both = np.maximum(both, both.T)
    near = np.zeros(both.shape, bool)
    near[np.arange(len(both))[:, np.newaxis], np.argsort(-both, axis=1, kind="stable")[:, :NEAREST]] = True
    return near | near.T


def _later(images: int) -> NDArray[np.bool_]:
    return np.triu(np.ones((images, images), bool), 1)
