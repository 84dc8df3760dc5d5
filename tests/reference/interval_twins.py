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


def degrees(values: Sequence[float], groups: Sequence[str]) -> float:
    mean = sum(values) / len(values)
    squares = [(sum(own) - mean * len(own)) ** 2 for own in by_group(values, groups).values()]
    fourth = sum(one**2 for one in squares)
    return min(max(2 * sum(squares) ** 2 / fourth, 1), max(len(squares) - 1, 1)) if fourth else 1


def korn_graubard(chosen: Sequence[bool], groups: Sequence[str], least: float = 4) -> tuple[float, float]:
    """Wilson's interval on the effective sample size; of groups where too few of them make the variance. Each image a
    group of its own: Wilson's."""
    n, k, p, values = len(chosen), len(set(groups)), sum(chosen) / len(chosen), [float(one) for one in chosen]
    if k == 1 or degrees(values, groups) < least:
        effective = float(k)
    else:
        independent = 1 + p * (1 - p) / variance(values, groups)
        ratio = t.ppf(0.975, n - 1) / t.ppf(0.975, degrees(values, groups))
        effective = min(n, max(independent * ratio**2, min(independent, k)))
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
