"""Paths through images in order of size, against every way of dividing few images."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.tracks.paths import PENALTIES, cover, divide, equal_paths, value

QUICK = settings(max_examples=25, derandomize=True, deadline=None)


def random_scores(images: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 5, (images, images))


def slow_best(scores: NDArray[np.float64], length: int, penalty: float, only_first: bool) -> float:
    best = -np.inf
    for mask in itertools.product((False, True), repeat=len(scores) - 1):
        chosen = np.array([*mask, True])
        first, second = np.flatnonzero(chosen), np.flatnonzero(~chosen)
        total = sum(scores[a, b] for path in (first, second) for a, b in itertools.pairwise(path))
        total -= penalty * abs(len(first) - length) + (0 if only_first else penalty * abs(len(second) - length))
        best = max(best, float(total))
    return best


@QUICK
@given(
    images=st.integers(1, 9), length=st.integers(1, 6), penalty=st.sampled_from([0.0, 2.0, 1e6]),
    only_first=st.booleans(), seed=st.integers(0, 1000),
)  # fmt: skip
def test_a_division_is_the_best_of_all(images: int, length: int, penalty: float, only_first: bool, seed: int) -> None:
    scores = random_scores(images, seed)
    numbers = np.arange(100, 100 + images)
    wide = np.zeros((200, 200))
    wide[np.ix_(numbers, numbers)] = scores
    first, second, best = divide(wide, numbers, length, penalty, only_first=only_first)
    assert sorted([*first, *second]) == numbers.tolist()
    total = value(wide, first) + value(wide, second) - penalty * abs(len(first) - length)
    total -= 0 if only_first else penalty * abs(len(second) - length)
    assert best == pytest.approx(total)
    assert best == pytest.approx(slow_best(scores, length, penalty, only_first))


@QUICK
@given(images=st.integers(3, 7), paths=st.integers(1, 3), seed=st.integers(0, 1000))
def test_a_cover_is_the_best_of_all(images: int, paths: int, seed: int) -> None:
    """Every image has a path; over all ways to deal images to paths, none has a larger sum."""
    scores = random_scores(images, seed)
    found = cover(scores, paths)
    assert sorted(image for path in found for image in path) == list(range(images))
    best = max(
        sum(value(scores, np.flatnonzero(np.array(dealt) == path)) for path in range(paths))
        for dealt in itertools.product(range(paths), repeat=images)
        if len(set(dealt)) == paths
    )
    assert len(found) == paths
    assert sum(value(scores, path) for path in found) == pytest.approx(best)


@QUICK
@given(tracks=st.integers(1, 5), length=st.integers(2, 8), seed=st.integers(0, 1000))
def test_equal_paths_are_disjoint_and_equal_whatever_the_scores(tracks: int, length: int, seed: int) -> None:
    paths = equal_paths(random_scores(tracks * length, seed), length)
    assert [len(path) for path in paths] == [length] * tracks
    assert sorted(image for path in paths for image in path) == list(range(tracks * length))
    assert all((np.diff(path) > 0).all() for path in paths)


def test_tracks_with_likely_links_are_found_where_one_is_broken() -> None:
    """Three interleaved tracks of eight; a link of one is unlikely, so that the cover alone would end a track there."""
    tracks = np.random.default_rng(0).permutation(np.repeat(np.arange(3), 8))
    scores = np.where(tracks == tracks[:, np.newaxis], 4.0, -4.0)
    broken = np.flatnonzero(tracks == 1)
    scores[np.ix_(broken[:5], broken[5:])] = -10
    found = {tuple(path) for path in equal_paths(scores, 8)}
    assert found == {tuple(np.flatnonzero(tracks == track)) for track in range(3)}


def test_a_number_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(ValueError, match="31 images are no multiple of 30"):
        equal_paths(np.zeros((31, 31)), 30)


def test_the_last_penalty_outweighs_all_scores() -> None:
    assert PENALTIES[-1] > 60 * 100
