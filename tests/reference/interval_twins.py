"""Intervals and tests over groups, slowly: loops over groups, formulas as in the textbooks."""

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence

import metric_twins
from scipy.stats import t


def by_group(values: Sequence[float], groups: Sequence[str]) -> dict[str, list[float]]:
    found = defaultdict(list)
    for value, group in zip(values, groups, strict=True):
        found[group].append(float(value))
    return dict(found)


def variance(values: Sequence[float], groups: Sequence[str]) -> float:
    """Of the mean over images, from the residuals that each group's sum has."""
    mean = sum(values) / len(values)
    found = by_group(values, groups)
    residuals = [sum(own) - mean * len(own) for own in found.values()]
    return len(found) / (len(found) - 1) * sum(one**2 for one in residuals) / len(values) ** 2


def korn_graubard(chosen: Sequence[bool], groups: Sequence[str]) -> tuple[float, float]:
    n, k, p = len(chosen), len(set(groups)), sum(chosen) / len(chosen)
    if k == 1 or p in (0, 1) or not (v := variance([float(one) for one in chosen], groups)):
        effective = min(n, k)
    else:
        effective = 1 + p * (1 - p) / v
        effective *= (t.ppf(0.975, max(n - 1, 1)) / t.ppf(0.975, k - 1)) ** 2
    effective = min(effective, n)
    return metric_twins.wilson(p * effective, effective)  # type: ignore[arg-type]


def sign_changes(differences: Sequence[float]) -> float:
    """The share of all sign changes whose sum is at least as large."""
    sums = [
        sum(sign * one for sign, one in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(one >= sum(differences) - 1e-9 for one in sums) / len(sums)


def is_close(one: float | None, other: float) -> bool:
    return one is not None and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
