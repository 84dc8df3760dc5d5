"""The psychometric fit, beside SciPy's optimizer, the closed form and psignifit."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from training.evaluation.intervals.psychometric import Fits, fit

STRENGTHS = np.array([0.0, 2, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100])


def curve(lapse: float, limit: float, middle: float, slope: float) -> Fits:
    return Fits(*(np.array([one]) for one in (lapse, limit, middle, slope)))


def drawn(truth: Fits, images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    shares = truth.errors(STRENGTHS)[0]
    wrong = np.random.default_rng(seed).binomial(images, shares).astype(float)[None]
    return wrong, np.full_like(wrong, images)


def minus_log_likelihood(values: np.ndarray, wrong: np.ndarray, images: np.ndarray) -> float:
    """As a plain sum over strengths, with its own formula of the curve."""
    lapse, limit, middle, slope = values
    if not (0 < lapse < limit < 1 and middle > 0 and slope > 0):
        return 1e9
    total = 0.0
    for strength, failed, shown in zip(STRENGTHS, wrong[0], images[0], strict=True):
        rise = 0.0 if strength == 0 else norm.cdf(slope * np.log(strength / middle))
        share = lapse + (limit - lapse) * rise
        total -= failed * np.log(share) + (shown - failed) * np.log(1 - share)
    return total


@pytest.mark.parametrize("seed", range(5))
def test_no_other_curve_is_likelier(seed: int) -> None:
    truth = curve(0.03, 0.9, 35.0, 1.5)
    wrong, images = drawn(truth, 400, seed)
    found = fit(wrong, images, STRENGTHS)
    own = np.array([column[0] for column in found])
    plain = minimize(
        minus_log_likelihood,
        own * 1.05,
        (wrong, images),
        method="Nelder-Mead",
        options={"maxiter": 4000, "xatol": 1e-7},
    )
    assert minus_log_likelihood(own, wrong, images) <= plain.fun + 1e-3


def test_exact_shares_give_the_curve_back() -> None:
    truth = curve(0.05, 0.85, 20.0, 2.0)
    images = np.full((1, len(STRENGTHS)), 1e5)
    found = fit(truth.errors(STRENGTHS) * images, images, STRENGTHS)
    for own, true in zip(found, truth, strict=True):
        assert own[0] == pytest.approx(true[0], rel=1e-3)


def test_many_fits_at_once_are_the_single_ones() -> None:
    truths = [curve(0.01, 0.95, 10.0, 1.0), curve(0.2, 0.7, 60.0, 3.0), curve(0.03, 0.9, 35.0, 1.5)]
    wrong, images = (np.concatenate(both) for both in zip(*(drawn(truth, 900, 7) for truth in truths), strict=True))
    together = fit(wrong, images, STRENGTHS)
    for row in range(len(truths)):
        alone = fit(wrong[row : row + 1], images[row : row + 1], STRENGTHS)
        for many, one in zip(together, alone, strict=True):
            assert many[row] == pytest.approx(one[0], rel=1e-3)


def test_the_threshold_is_where_the_curve_reaches_the_share() -> None:
    truth = curve(0.03, 0.9, 35.0, 1.5)
    for share in (0.05, 0.2, 0.5, 0.85):
        strength = truth.threshold(np.array([share]))
        assert truth.errors(strength)[0, 0] == pytest.approx(share)
    assert truth.threshold(np.array([0.02])) == 0.0
    assert truth.threshold(np.array([0.95])) == np.inf
    assert truth.errors(np.array([0.0]))[0, 0] == 0.03


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_a_flat_row_is_fitted_without_a_threshold_inside(share: float) -> None:
    """A network that the noise does not harm, and one that is always wrong."""
    images = np.full((1, len(STRENGTHS)), 500.0)
    found = fit(share * images, images, STRENGTHS)
    assert all(np.isfinite(column).all() for column in found)
    assert np.abs(found.errors(STRENGTHS)[0] - share).max() < 0.02


@pytest.mark.slow
def test_psignifit_finds_the_same_threshold() -> None:
    """It has priors and no noiseless images, so a thousand images at each strength decide."""
    import psignifit

    wrong, images = drawn(curve(0.03, 0.9, 35.0, 1.5), 1000, 0)
    shown = STRENGTHS > 0
    found = fit(wrong[:, shown], images[:, shown], STRENGTHS[shown])
    data = np.stack([np.log(STRENGTHS[shown]), wrong[0, shown], images[0, shown]], axis=1)
    other = psignifit.psignifit(data, sigmoid="norm", experiment_type="yes/no")
    for share in (0.2, 0.4, 0.6):
        theirs = np.exp(other.threshold(share, unscaled=False, return_ci=False))
        assert found.threshold(np.array([share]))[0] == pytest.approx(theirs, rel=0.03)
