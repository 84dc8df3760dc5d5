import math

import numpy as np
import pytest
from cohen_twin import clopper_pearson
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from training.evaluation.certification.bounds import (
    certified_radius,
    least_samples,
    lipschitz_radius,
    lower_bound,
    shown_class,
)

COUNTS = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS, st.sampled_from([0.05, 0.001]))
def test_the_lower_bound_is_that_of_clopper_and_pearson(counts: tuple[int, int], alpha: float) -> None:
    hits, samples = counts
    found = lower_bound(hits, samples, alpha)
    assert found == pytest.approx(clopper_pearson(hits, samples, alpha), abs=1e-9)
    interval = binomtest(hits, samples, alternative="greater").proportion_ci(1 - alpha, method="exact")
    assert found == pytest.approx(interval.low, abs=1e-9)


def test_all_hits_have_a_closed_form() -> None:
    assert lower_bound(1000, 1000, 0.001) == pytest.approx(0.001 ** (1 / 1000), rel=1e-12)
    assert pytest.approx(certified_radius(lower_bound(10_000, 10_000, 0.001), 50 / 255), abs=0.01) == 0.196 * 3.19


@given(st.floats(1e-9, 0.49))
def test_with_one_sample_fewer_than_the_least_nothing_can_be_certified(alpha: float) -> None:
    least = least_samples(alpha)
    assert lower_bound(least, least, alpha) > 0.5
    assert least == 1 or lower_bound(least - 1, least - 1, alpha) <= 0.5 + 1e-12


def test_the_radius_is_sigma_times_the_quantile() -> None:
    assert certified_radius(0.8413447460685429, 0.2) == pytest.approx(0.2)
    assert certified_radius(0.5, 0.2) == certified_radius(0.1, 0.2) == 0.0


def test_the_lipschitz_radius_is_the_distance_of_two_orthogonal_rows() -> None:
    """Logits x₁ and x₂ change by at most 1 per unit, and are equal on the diagonal, (x₁ − x₂) / √2 away."""
    assert lipschitz_radius(3.0, 1.0) == pytest.approx(3 / math.sqrt(2))
    assert lipschitz_radius(3.0, 2.0) == pytest.approx(3 / math.sqrt(2) / 2)
    assert lipschitz_radius(-1.0, 1.0) == 0


@pytest.mark.parametrize(("first", "second"), [(60, 40), (51, 49), (65, 35), (68, 32), (100, 0), (10, 0), (9, 0)])
def test_a_class_is_shown_where_the_binomial_test_says_so(first: int, second: int) -> None:
    votes = np.array([second, first, 0])
    larger = sum(math.comb(first + second, k) for k in range(first, first + second + 1)) / 2 ** (first + second)
    assert shown_class(votes, 0.001) == (1 if min(1, 2 * larger) <= 0.001 else None)
    assert shown_class(votes, 0.9999999) == 1 or first == second
