"""Paired tests over groups."""

import interval_twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test, t, ttest_1samp

from training.evaluation.intervals.paired import PairedGroups, sign_flip

Scores = tuple[list[float], list[float], list[int]]


def pairs(given: Scores) -> PairedGroups:
    before, after, codes = given
    return PairedGroups(np.array(before), np.array(after), np.array([f"sign {code}" for code in codes]))


@st.composite
def scores(draw: st.DrawFn, groups: int = 6) -> Scores:
    codes = draw(st.lists(st.integers(0, groups - 1), min_size=1, max_size=30))
    score = st.sampled_from([0.0, 1 / 3, 2 / 3, 1.0])
    before, after = (draw(st.lists(score, min_size=len(codes), max_size=len(codes))) for _ in range(2))
    return before, after, codes


def group_differences(given: Scores) -> list[float]:
    before, after, codes = given
    return [sum(after[i] - before[i] for i, code in enumerate(codes) if code == one) for one in sorted(set(codes))]


@given(given=scores())
@settings(max_examples=150, deadline=None)
def test_all_sign_changes_are_enumerated_for_few_groups(given: Scores) -> None:
    found = pairs(given)
    differences = group_differences(given)
    assert found.p_better() == pytest.approx(interval_twins.sign_changes(differences))
    assert found.p_worse(0) == pytest.approx(interval_twins.sign_changes([-one for one in differences]))
    assert found.difference == pytest.approx(sum(differences) / len(given[0]))


def test_scipys_permutation_test_gives_the_same() -> None:
    random = np.random.default_rng(1)
    for groups in (9, 40):
        before, after = random.random((2, groups))
        found = PairedGroups(before, after, np.array([f"{n:02d}" for n in range(groups)]))
        theirs = permutation_test(
            (after, before),
            lambda one, other, axis: (one - other).sum(axis=axis),
            permutation_type="samples",
            alternative="greater",
            n_resamples=np.inf if groups < 10 else 19_999,
            rng=np.random.default_rng(2),
            vectorized=True,
        ).pvalue
        assert found.p_better() == pytest.approx(theirs, abs=1e-9 if groups < 10 else 0.01)


def test_with_one_image_per_group_the_standard_error_is_students() -> None:
    before, after = np.random.default_rng(3).random((2, 50))
    found = PairedGroups(before, after, np.array([f"{n:02d}" for n in range(50)]))
    theirs = ttest_1samp(after - before, 0)
    assert theirs.statistic == pytest.approx(found.difference / found.standard_error)
    assert found.degrees == pytest.approx(interval_twins.degrees((after - before).tolist(), found.groups.tolist()))
    half = t.ppf(0.975, found.degrees) * found.standard_error
    assert found.interval() == pytest.approx((found.difference - half, found.difference + half))
    margin = t.cdf((found.difference + 0.05) / found.standard_error, found.degrees)
    assert found.p_worse(0.05) == pytest.approx(max(margin, found.p_worse(0)))
    assert found.design_effect == pytest.approx(1)


@given(given=scores())
@settings(deadline=None)
def test_the_standard_error_is_that_of_a_loop_over_groups(given: Scores) -> None:
    before, after, codes = given
    if len(set(codes)) > 1:
        differences = [b - a for a, b in zip(before, after, strict=True)]
        expected = interval_twins.variance(differences, [str(code) for code in codes]) ** 0.5
        assert pairs(given).standard_error == pytest.approx(expected, abs=1e-12)


@given(given=scores(), margin=st.floats(0, 0.5), more=st.floats(0, 0.4))
@settings(deadline=None)
def test_swapping_the_networks_negates_the_interval_and_a_wider_margin_is_never_worse(
    given: Scores, margin: float, more: float
) -> None:
    before, after, codes = given
    found, turned = pairs(given), pairs((after, before, codes))
    low, high = found.interval()
    assert -1 <= low <= found.difference + 1e-12 and found.difference <= high + 1e-12 <= 1 + 1e-9
    assert turned.interval() == pytest.approx((-high, -low))
    assert turned.p_better() == pytest.approx(found.p_worse(0))
    assert 0 < found.p_worse(margin) <= found.p_worse(margin + more) + 1e-9


def test_thirty_frames_of_one_sign_are_not_significant() -> None:
    """McNemar's test over images would give p = 2⁻⁶⁰."""
    right = np.zeros(421 * 30, bool)
    after = right.copy()
    after[:60] = True
    found = PairedGroups(right, after, np.repeat([f"{n:03d}" for n in range(421)], 30))
    assert found.p_better() == 1 / 4
    assert (found.images, found.units) == (12_630, 421)


def test_draws_are_reproducible_and_columns_are_independent() -> None:
    sums = np.random.default_rng(4).normal(0.1, 1, (200, 3))
    together = sign_flip(sums)
    assert together.tolist() == sign_flip(sums).tolist() == [float(sign_flip(sums[:, [n]])[0]) for n in range(3)]
    assert sign_flip(np.ones((100, 1)))[0] == 1 / 20_000


def test_equal_networks_are_called_better_at_the_stated_rate() -> None:
    """1,000 exact nulls: 5 % of them, within three standard errors."""
    random = np.random.default_rng(5)
    sums = np.where(random.random(260) < 0.2, random.integers(1, 30, 260), 0)[:, None]
    nulls = sums * (random.integers(0, 2, (260, 1000)) * 2 - 1)
    share = float((sign_flip(nulls.astype(float), draws=1_999) <= 0.05).mean())
    assert 0.03 < share < 0.071
