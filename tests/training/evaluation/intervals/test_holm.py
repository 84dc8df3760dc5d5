from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation.intervals.holm import holm


def closed_testing(p_values: list[float]) -> list[float]:
    """Holm's procedure as what it is short for: a hypothesis falls when Bonferroni rejects every set that it is in."""
    indices = range(len(p_values))
    sets = [chosen for size in range(1, len(p_values) + 1) for chosen in combinations(indices, size)]
    return [
        min(1.0, max(len(chosen) * min(p_values[i] for i in chosen) for chosen in sets if one in chosen))
        for one in indices
    ]


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_closed_testing_with_bonferroni(p_values: list[float]) -> None:
    assert holm(p_values).tolist() == pytest.approx(closed_testing(p_values))
