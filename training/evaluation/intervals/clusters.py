"""Sums over groups of images, and the variance of a ratio of such sums."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ratios", "group_codes", "group_sums", "ratios"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Ratios(NamedTuple):
    """M ratios Σ y / Σ n over groups: `value` and `variance` (M,), NaN without cases or with fewer than two groups;
    `degrees` of freedom of the variance; `cases` Σ n; `groups` with n > 0."""

    value: Floats
    variance: Floats
    degrees: Floats
    cases: Floats
    groups: Integers


def group_codes(groups: NDArray[np.str_]) -> Integers:
    """(N,): the number of each image's group, from 0."""
    codes: Integers = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return codes


def group_sums(codes: Integers, values: NDArray[np.floating] | NDArray[np.bool_] | None = None) -> Floats:
    """(K,): the sum over each group's images of `values` (N,), or their number."""
    return np.bincount(codes, values, int(codes.max(initial=-1)) + 1).astype(np.float64)


def ratios(sums: Floats, cases: Floats) -> Ratios:
    """`sums` and `cases` (K, M): Y and n of each group.

    The variance is the linearized one of a ratio, K / (K − 1) · Σ (Y − p n)² / (Σ n)² (W. G. Cochran, "Sampling
    techniques", 1977, equation 11.30, without finite population correction), over the K groups that have cases. Its
    degrees of freedom are 2 (Σ d)² / Σ d² of the squared deviations d, at most K − 1 (F. E. Satterthwaite, "An
    approximate distribution of estimates of variance components", Biometrics 2, 1946): few if few groups make the
    variance, as near 100 %."""
    total = cases.sum(axis=0)
    there = (cases > 0).sum(axis=0).astype(np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = sums.sum(axis=0) / total
        squares = (sums - value * cases) ** 2
        variance = there / (there - 1.0) * squares.sum(axis=0) / total**2
        degrees = 2 * squares.sum(axis=0) ** 2 / (squares**2).sum(axis=0)
    variance[there < 2] = np.nan
    return Ratios(value, variance, np.clip(np.nan_to_num(degrees), 1, np.maximum(there - 1, 1)), total, there)
