"""The comparison of two sides against other tests, and how often it errs where nothing differs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import ttest_1samp, ttest_ind

from training.evaluation.intervals.paired import PairedGroups
from training.evaluation.intervals.pairs import Pairs, Side

SIGNS, FRAMES = 40, 10
NAMES = np.repeat(np.arange(SIGNS), FRAMES).astype(str)


def side(*shares: float) -> Side:
    """A seed for each share: that share of the frames of every sign is right, so signs do not differ."""
    right = [np.tile(np.arange(FRAMES) < round(share * FRAMES), SIGNS) for share in shares]
    return Side(np.array(right), NAMES)


@st.composite
def some_sides(draw: st.DrawFn, seeds: int = 3) -> Side:
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return Side(random.random((seeds, len(NAMES))) < draw(st.floats(0.05, 0.95)), NAMES)


def test_seeds_decide_by_students_test_if_signs_are_alike() -> None:
    before, after = (0.5, 0.7, 0.6), (0.8, 0.7, 0.9)
    pairs = Pairs(side(*before), side(*after))
    assert pairs.by_sign.p_better() < 1e-4, "all signs are better"
    assert pairs.p_better() == pytest.approx(ttest_ind(after, before, alternative="greater").pvalue)
    assert pairs.freedom == pytest.approx(4)
    worse = ttest_ind(after, np.array(before) - 0.1, alternative="less").pvalue
    assert Pairs(side(*before), side(*after)).p_worse(0.1) == pytest.approx(max(worse, pairs.by_sign.p_worse(0.1)))
    low, high = pairs.interval()
    found = ttest_ind(after, before).confidence_interval()
    assert (low, high) == pytest.approx((found.low, found.high))


def test_signs_decide_if_seeds_are_alike() -> None:
    random = np.random.default_rng(0)
    before, after = random.random((2, len(NAMES))) < 0.6
    one, three = (
        Pairs(*(Side(np.array([right]), NAMES) for right in (before, after))),
        Pairs(*(Side(np.array([right] * 3), NAMES) for right in (before, after))),
    )
    by_sign = PairedGroups(before, after, NAMES)
    for pairs in (one, three):
        assert pairs.p_better() == by_sign.p_better() and pairs.p_worse(0.01) == by_sign.p_worse(0.01)
        assert pairs.interval() == by_sign.interval()
    sums = np.array([after[name == NAMES].mean() - before[name == NAMES].mean() for name in np.unique(NAMES)])
    assert three.p_better() == pytest.approx(ttest_1samp(sums, 0, alternative="greater").pvalue, abs=0.02)


def test_the_spread_of_a_side_with_one_seed_is_that_of_the_other() -> None:
    pairs = Pairs(side(0.5), side(0.6, 0.8, 0.7))
    assert pairs.seed_variance == pytest.approx(0.01 * (1 + 1 / 3))
    assert pairs.freedom == pytest.approx(2)
    assert Pairs(side(0.5), side(0.9)).seed_variance == 0


@given(before=some_sides(), after=some_sides(), margin=st.floats(0, 0.3), more=st.floats(0, 0.3))
@settings(max_examples=15, deadline=None)
def test_swapping_the_sides_negates_the_result_and_a_margin_only_helps(
    before: Side, after: Side, margin: float, more: float
) -> None:
    pairs, swapped = Pairs(before, after), Pairs(after, before)
    low, high = pairs.interval()
    assert low <= pairs.difference <= high
    assert swapped.interval() == pytest.approx((-high, -low))
    assert swapped.p_worse(0) == pytest.approx(pairs.p_better(), abs=0.02)
    assert pairs.p_worse(margin + more) >= pairs.p_worse(margin) - 1e-9
    assert pairs.standard_error >= pairs.by_sign.standard_error


def drawn(random: np.random.Generator, hard: NDArray[np.float64], seeds: int) -> Side:
    """Seeds of one recipe: they differ as a whole, and by sign."""
    luck = random.normal(0, 0.4, (seeds, 1)) + random.normal(0, 0.3, (seeds, SIGNS))
    share = 1 / (1 + np.exp(-(hard + luck)))
    return Side(random.random((seeds, len(NAMES))) < np.repeat(share, FRAMES, axis=1), NAMES)


@pytest.mark.parametrize("seeds", [(3, 3), (1, 3)])
def test_another_seed_of_the_same_recipe_is_seldom_called_better(seeds: tuple[int, int]) -> None:
    """Signs alone would call it better in every fourth case."""
    random = np.random.default_rng(11)
    called, by_sign = [], []
    for _ in range(200):
        hard = random.normal(1, 1, SIGNS)
        pairs = Pairs(*(drawn(random, hard, count) for count in seeds))
        called.append(pairs.p_better() < 0.05)
        by_sign.append(pairs.by_sign.p_better() < 0.05)
    assert np.mean(called) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)
    assert np.mean(by_sign) > 0.15
