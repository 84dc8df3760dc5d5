"""The two certificates as pure functions: of randomized smoothing, and of a Lipschitz constant."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binomtest, norm

__all__ = ["certified_radius", "least_samples", "lipschitz_radius", "lower_bound", "shown_class"]


def lower_bound(hits: int, samples: int, alpha: float) -> float:
    """The one-sided lower confidence bound 1 − alpha of a probability (C. J. Clopper, E. S. Pearson, 1934)."""
    return float(beta.ppf(alpha, hits, samples - hits + 1)) if hits else 0.0


def least_samples(alpha: float) -> int:
    """The smallest n for which n hits of n have a lower bound, alpha^(1/n), above 1/2."""
    return math.floor(-math.log2(alpha)) + 1


def certified_radius(p_lower: float, std: float) -> float:
    """σ Φ⁻¹(p), the L2 radius within which the smoothed class is the same (J. Cohen, E. Rosenfeld, Z. Kolter,
    "Certified adversarial robustness via randomized smoothing", ICML 2019, section 3.2); 0 for p ≤ 1/2, where there is
    none."""
    return std * float(norm.ppf(p_lower)) if p_lower > 0.5 else 0.0


def lipschitz_radius(margin: float, lipschitz: float) -> float:
    """margin / (√2 L): the L2 radius within which the largest logit stays the largest, if the logits change by at most
    L per unit of L2 distance (Y. Tsuzuku, I. Sato, M. Sugiyama, "Lipschitz-margin training", NeurIPS 2018,
    proposition 1). `margin` is the largest logit minus the second largest."""
    return max(margin, 0.0) / (math.sqrt(2) * lipschitz)


def shown_class(votes: NDArray[np.int64], alpha: float) -> int | None:
    """PREDICT of Cohen et al. 2019: the class of most votes (num_classes,); None if those of the second could be as
    frequent, by a two-sided binomial test at `alpha`. It is not the smoothed class with a probability of at most
    alpha."""
    second, first = np.sort(votes)[-2:].tolist()
    return int(votes.argmax()) if binomtest(first, first + second).pvalue <= alpha else None
