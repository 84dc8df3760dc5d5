"""Intervals of proportions: Wilson's where images are independent, and wider where they come in groups."""

import interval_twins
import metric_twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from training.evaluation.intervals.proportions import DesignEffect, Units, wilson_ends


def names(codes: list[int]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.array([f"sign {code:03d}" for code in codes])


@st.composite
def grouped(draw: st.DrawFn) -> tuple[list[bool], list[int]]:
    codes = draw(st.lists(st.integers(0, 7), min_size=1, max_size=40))
    return draw(st.lists(st.booleans(), min_size=len(codes), max_size=len(codes))), codes


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (
            81,
            263,
            0.2553,
            0.3662,
        ),  # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, Table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_the_published_ones(successes: int, trials: int, low: float, high: float) -> None:
    measured = Units("image").proportion(np.arange(trials) < successes)
    assert measured.low == pytest.approx(low, abs=5e-5)
    assert measured.high == pytest.approx(high, abs=5e-5)


@given(trials=st.integers(1, 20_000), share=st.floats(0, 1))
@settings(deadline=None)
def test_groups_of_one_image_have_wilsons_interval(trials: int, share: float) -> None:
    chosen = np.arange(trials) < round(share * trials)
    found = Units.of_groups(names(list(range(trials)))).proportion(chosen)
    theirs = binomtest(int(chosen.sum()), trials).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert (found.unit, found.images, found.groups, found.design_effect) == ("image", trials, trials, 1)


@given(groups=st.integers(2, 300), size=st.integers(2, 30), right=st.floats(0, 1))
@settings(deadline=None)
def test_groups_of_equal_images_have_wilsons_interval_for_the_number_of_groups(
    groups: int, size: int, right: float
) -> None:
    by_group = np.arange(groups) < round(right * groups)
    found = Units.of_groups(names(np.repeat(np.arange(groups), size).tolist())).proportion(np.repeat(by_group, size))
    assert found.design_effect == pytest.approx(size)
    assert (found.low, found.high) == pytest.approx(metric_twins.wilson(int(by_group.sum()), groups), abs=1e-9)
    assert (found.unit, found.groups) == ("group", groups)


def test_a_class_of_two_signs_counts_as_two() -> None:
    """sixty frames that are right are two signs that are right, and one that is wrong in part makes no difference."""
    found = Units("group", np.repeat([0, 1], 30)).proportion(np.arange(60) > 5)
    assert (found.low, found.high) == pytest.approx(metric_twins.wilson(1.8, 2))  # type: ignore[arg-type]


@given(given=grouped())
@settings(max_examples=200, deadline=None)
def test_the_interval_is_that_of_a_loop_over_groups(given: tuple[list[bool], list[int]]) -> None:
    chosen, codes = given
    found = Units("group", np.array(codes)).proportion(np.array(chosen))
    assert found.value == pytest.approx(np.mean(chosen))
    assert (found.low, found.high) == pytest.approx(interval_twins.korn_graubard(chosen, names(codes).tolist()))
    assert 0 <= (found.low or 0) <= (found.value or 0) + 1e-12 and (found.value or 0) <= (found.high or 0) + 1e-12 <= 2
    assert found.groups == len(set(codes)) and 1 <= (found.design_effect or 0) <= len(codes)


@given(given=grouped(), seed=st.integers(0, 99))
@settings(deadline=None)
def test_the_order_of_images_and_the_names_of_groups_do_not_matter(
    given: tuple[list[bool], list[int]], seed: int
) -> None:
    chosen, codes = np.array(given[0]), np.array(given[1])
    order = np.random.default_rng(seed).permutation(len(codes))
    one, other = Units("group", codes).proportion(chosen), Units("group", 7 - codes[order]).proportion(chosen[order])
    assert one[1:3] == pytest.approx(other[1:3]) and one[3:5] == other[3:5]


def test_many_proportions_at_once_equal_each_one_alone() -> None:
    random = np.random.default_rng(0)
    codes, columns, right = random.integers(0, 20, 300), random.integers(0, 5, 300), random.random(300) < 0.8
    units = Units("group", codes)
    found = units.proportions(units.counts(columns, 6, right), units.counts(columns, 6))
    for column in range(5):
        alone = Units("group", codes[columns == column]).proportion(right[columns == column])
        assert found.at(column)[3:5] == alone[3:5]
        assert found.at(column)[:3] == pytest.approx(alone[:3])
        assert units.proportion(right, columns == column)[:3] == pytest.approx(alone[:3])
    assert found.at(5)[:3] == (None, None, None) and found.at(5).images == 0


def test_an_estimated_design_effect_widens_the_interval_and_is_named() -> None:
    chosen = np.arange(12_630) < 12_000
    unknown = Units.unknown().proportion(chosen)
    found = Units.unknown(DesignEffect(9.0, 261)).proportion(chosen)
    assert (unknown.unit, unknown.groups, unknown.design_effect) == ("unknown", None, None)
    assert (found.unit, found.groups, found.design_effect) == ("estimated", None, 9.0)
    trials = 12_630 / 9 * (t.ppf(0.975, 12_629) / t.ppf(0.975, 260)) ** 2
    assert (found.low, found.high) == pytest.approx(metric_twins.wilson(12_000 / 12_630 * trials, trials))  # type: ignore[arg-type]
    assert (unknown.low, unknown.high) == pytest.approx(metric_twins.wilson(12_000, 12_630))


def test_without_images_nothing_is_defined() -> None:
    nothing = np.zeros(0, bool)
    for units in (Units.of_groups(names([])), Units.unknown(), Units("group", np.zeros(0, np.int64))):
        found = units.proportion(nothing)
        assert (found.value, found.low, found.high, found.images) == (None, None, None, 0)


def test_the_ends_lie_between_0_and_1_around_the_value() -> None:
    low, high = wilson_ends(np.array([0.0, 1.0, 0.5]), np.array([2.5, 2.5, 0.1]))
    assert low[0] == 0 and high[1] == 1 and (low >= 0).all() and (high <= 1).all()
