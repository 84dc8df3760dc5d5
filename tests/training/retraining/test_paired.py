"""The paired tests against published numbers, slow twins and the exact distribution of their p-values."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multinomial

from training.retraining.paired import Pairs, holm


@st.composite
def some_pairs(draw: st.DrawFn) -> Pairs:
    won, lost = draw(st.integers(0, 40)), draw(st.integers(0, 40))
    return Pairs(draw(st.integers(max(won + lost, 1), 200)), won, lost)


def score_twin(pairs: Pairs, difference: float) -> float:
    """The variance at the share lost that is most likely, which is looked for."""

    def unlikely(lost: float) -> float:
        shares = (lost + difference, lost, 1 - 2 * lost - difference)
        counts = (pairs.won, pairs.lost, pairs.images - pairs.won - pairs.lost)
        return -sum(count * math.log(share) for count, share in zip(counts, shares, strict=True) if count)

    low, high = max(0.0, -difference), (1 - difference) / 2
    found = minimize_scalar(unlikely, bounds=(low + 1e-12, high - 1e-12), method="bounded", options={"xatol": 1e-11})
    variance = (2 * found.x + difference - difference**2) / pairs.images
    return (pairs.difference - difference) / math.sqrt(variance)


def closed_testing(p_values: list[float]) -> list[float]:
    """Holm's procedure as what it is short for: a hypothesis falls when Bonferroni rejects every set that it is in."""
    indices = range(len(p_values))
    sets = [chosen for size in range(1, len(p_values) + 1) for chosen in combinations(indices, size)]
    return [
        min(1.0, max(len(chosen) * min(p_values[i] for i in chosen) for chosen in sets if one in chosen))
        for one in indices
    ]


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [
        (Pairs(21, won=1, lost=7), -0.5172, -0.0260),  # M. Fagerland, S. Lydersen, P. Laake, "Recommended tests and
        (Pairs(161, won=6, lost=16), -0.1240, -0.0054),  # confidence intervals for paired binomial proportions", 2014
    ],
)
def test_intervals_are_the_published_ones(pairs: Pairs, low: float, high: float) -> None:
    assert pairs.interval() == pytest.approx((low, high), abs=5e-5)


@given(pairs=some_pairs(), difference=st.floats(-0.9, 0.9))
@settings(max_examples=200, deadline=None)
def test_the_score_is_that_of_the_most_likely_distribution(pairs: Pairs, difference: float) -> None:
    assert pairs.score(difference) == pytest.approx(score_twin(pairs, difference), rel=1e-4, abs=1e-4)


@given(pairs=some_pairs())
@settings(deadline=None)
def test_without_a_margin_the_tests_are_mcnemars(pairs: Pairs) -> None:
    discordant = pairs.won + pairs.lost
    tails = [sum(math.comb(discordant, k) for k in range(n, discordant + 1)) for n in (pairs.won, pairs.lost)]
    assert pairs.p_better() == pytest.approx(tails[0] / 2**discordant)
    assert pairs.p_worse(0) == pytest.approx(tails[1] / 2**discordant)
    chi_squared = (pairs.won - pairs.lost) ** 2 / discordant if discordant else 0
    assert pairs.score(0) ** 2 == pytest.approx(chi_squared)


@given(pairs=some_pairs())
@settings(deadline=None)
def test_intervals_hold_the_difference_and_turn_with_the_sides(pairs: Pairs) -> None:
    low, high = pairs.interval()
    assert -1 <= low <= pairs.difference <= high <= 1
    swapped = Pairs(pairs.images, pairs.lost, pairs.won).interval()
    assert swapped == pytest.approx((-high, -low), abs=1e-6)


@given(pairs=some_pairs(), margin=st.floats(0, 0.5), more=st.floats(0, 0.4))
@settings(deadline=None)
def test_a_wider_margin_or_one_loss_less_is_never_worse(pairs: Pairs, margin: float, more: float) -> None:
    assert pairs.p_worse(margin + more) >= pairs.p_worse(margin) - 1e-9
    if pairs.lost:
        assert pairs._replace(lost=pairs.lost - 1).p_worse(margin) >= pairs.p_worse(margin) - 1e-9


@pytest.mark.parametrize(("images", "margin"), [(20, 0.1), (50, 0.02), (50, 0.0)])
def test_a_challenger_at_the_margin_is_seldom_called_worse(images: int, margin: float) -> None:
    """The chance of p < 0.05, summed over all outcomes, for many shares of images on which the two disagree: it is the
    test's size, and a test of size 0.05 has no larger one."""
    outcomes = [(won, lost) for won in range(images + 1) for lost in range(images + 1 - won)]
    rejected = np.array([o for o in outcomes if Pairs(images, *o).p_worse(margin) < 0.05])
    counts = np.column_stack([rejected, images - rejected.sum(axis=1)])
    sizes = [
        multinomial.pmf(counts, images, [won, won + margin, 1 - 2 * won - margin]).sum()
        for won in np.linspace(0, (1 - margin) / 2, 40)
    ]
    assert 0.01 < max(sizes) <= 0.05


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=6))
@settings(deadline=None)
def test_holm_is_closed_testing_with_bonferroni(p_values: list[float]) -> None:
    assert holm(p_values).tolist() == pytest.approx(closed_testing(p_values))
