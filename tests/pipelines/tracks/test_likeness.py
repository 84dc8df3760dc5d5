"""The log-odds that one image follows another, against densities of SciPy and a slow search for detours."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from pipelines.tracks import likeness
from pipelines.tracks.likeness import Likeness


def fitted(correlations: NDArray[np.float64]) -> Likeness:
    return Likeness([], [], np.eye(len(correlations)), correlations)


def slow_odds(x: NDArray[np.float64], y: NDArray[np.float64], correlations: NDArray[np.float64]) -> float:
    odds = 0.0
    for a, b, r in zip(x, y, correlations, strict=True):
        together = multivariate_normal([0, 0], [[1, r], [r, 1]]).logpdf([a, b])
        odds += together - multivariate_normal([0, 0], np.eye(2)).logpdf([a, b])
    return odds


def test_log_odds_are_those_of_correlated_against_independent_normal_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "DETOURS", 0)
    monkeypatch.setattr(likeness, "LEAST", -1e9)
    rng = np.random.default_rng(0)
    correlations = np.array([0.9, 0.5, 0.1])
    described, log_size = rng.normal(0, 1, (5, 3)), np.array([3.0, 3.05, 3.1, 3.5, 4.2])
    links = fitted(correlations).links(described, log_size)
    for first in range(5):
        for second in range(first + 1, 5):
            cost = 30 * max(0, log_size[second] - log_size[first] - 0.15)
            expected = slow_odds(described[first], described[second], correlations) / 10 - cost
            assert links[first, second] == pytest.approx(expected)
            assert links[second, first] == links[first, second]


def test_a_link_by_way_of_others_is_its_weakest_part_less_the_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    described, log_size = rng.normal(0, 2, (9, 4)), np.sort(rng.uniform(3, 4, 9))
    model = fitted(np.array([0.9, 0.8, 0.5, 0.3]))
    monkeypatch.setattr(likeness, "DETOURS", 0)
    odds = model.links(described, log_size)
    for detours in (1, 2):
        monkeypatch.setattr(likeness, "DETOURS", detours)
        best = odds.copy()
        for a in range(9):
            for b in range(9):
                if a != b:
                    ways = [min(odds[a, c], odds[c, b]) - 1 for c in range(9) if c not in (a, b)]
                    best[a, b] = max(odds[a, b], *ways)
        odds = best
        np.testing.assert_allclose(model.links(described, log_size), odds)
