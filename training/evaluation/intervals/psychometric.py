"""The psychometric function: the share of errors as a function of a noise's strength, fitted by maximum likelihood."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

__all__ = ["Fits", "fit"]

Floats = NDArray[np.float64]
STEPS = 60
LEAST_WEIGHT = 1e-6
DAMPING = (1e-3, 1e-8, 1e8)
"""At first, at least, at most."""
SLOPES = (0.5, 8.0)
"""Bounds of the slope: a rise from 10 to 90 % over a factor of 170 in strength, and over one of 1.4."""
CONVERGED = 1e-9


class Fits(NamedTuple):
    """B fits, columns (B,).

    The share of errors at strength x is lapse + (limit − lapse) · Φ(slope · ln(x / middle)), with Φ the cumulative
    normal distribution: `lapse` is the share without noise, `limit` that under endless noise, and `middle` the strength
    half way between them (F. A. Wichmann, N. J. Hill, "The psychometric function: I. Fitting, sampling, and goodness of
    fit", Perception & Psychophysics 63, 2001, equation 1, of errors instead of right answers)."""

    lapse: Floats
    limit: Floats
    middle: Floats
    slope: Floats

    def errors(self, strengths: Floats) -> Floats:
        """(B, L): the share of errors at `strengths` (L,) ≥ 0."""
        rise: Floats = ndtr(self.slope[:, None] * (_log(strengths) - np.log(self.middle)[:, None]))
        shares: Floats = self.lapse[:, None] + (self.limit - self.lapse)[:, None] * rise
        return shares

    def threshold(self, errors: Floats) -> Floats:
        """(B,): the strength at which the share of errors reaches `errors` (B,): inf if it never does, 0 if it is
        reached without noise."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            share = (errors - self.lapse) / (self.limit - self.lapse)
            found = self.middle * np.exp(ndtri(np.clip(share, 0, 1)) / self.slope)
        return np.where(share <= 0, 0.0, np.where(share < 1, found, np.inf))


def fit(wrong: Floats, images: Floats, strengths: Floats) -> Fits:
    """The fit of each row of `wrong` and `images` (B, L), the errors among the images at `strengths` (L,) ≥ 0; a
    strength of 0 is no noise.

    Binomial likelihood, maximized by Fisher's scoring with Levenberg's and Marquardt's damping, over the logits of
    limit and of lapse's share of it, ln(middle), and ln(slope) within SLOPES. Images of one object are alike, which the
    estimate does not mind; its interval must come from resampling objects."""
    logs = _log(strengths)
    parameters = _start(wrong, images, strengths)
    loss, damping = _loss(parameters, wrong, images, logs), np.full(len(wrong), DAMPING[0])
    for _ in range(STEPS):
        gradient, information = _score(parameters, wrong, images, logs)
        diagonal = np.einsum("bii->bi", information)
        ridge = damping[:, None, None] * np.eye(4) * (diagonal[:, None, :] + LEAST_WEIGHT)
        step = np.linalg.solve(information + ridge, gradient[..., None])[..., 0]
        tried = _bounded(parameters + step)
        new_loss = _loss(tried, wrong, images, logs)
        better = new_loss <= loss
        gain = np.where(better, loss - new_loss, np.inf)
        parameters = np.where(better[:, None], tried, parameters)
        loss = np.where(better, new_loss, loss)
        damping = np.clip(np.where(better, damping / 5, damping * 5), *DAMPING[1:])
        if (((gain < CONVERGED * (1 + loss)) & better) | (damping >= DAMPING[2])).all():
            break
    lapse, top, middle, slope = _natural(parameters)
    return Fits(lapse, top, middle, slope)


def _log(strengths: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(strengths)


def _start(wrong: Floats, images: Floats, strengths: Floats) -> Floats:
    """(B, 4): from the shares of errors at the weakest and the strongest noise, half a case added."""
    shares = (wrong + 0.5) / (images + 1)
    order = np.argsort(strengths)
    first, last = shares[:, order[0]], shares.max(axis=1)
    top = np.clip(np.maximum(last, first + 0.05), 0.05, 0.95)
    half = (first + last) / 2
    positive = np.flatnonzero(strengths > 0)
    nearest = np.abs(shares[:, positive] - half[:, None]).argmin(axis=1)
    share = np.clip(first / top, 1e-4, 0.9)
    columns = np.log(share / (1 - share)), np.log(top / (1 - top)), np.log(strengths[positive][nearest])
    return np.stack([*columns, np.zeros(len(shares))], axis=1)


def _natural(parameters: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """lapse < limit by construction: its logit is that of its share of the limit."""
    top = _logistic(parameters[:, 1])
    return top * _logistic(parameters[:, 0]), top, np.exp(parameters[:, 2]), np.exp(parameters[:, 3])


def _bounded(parameters: Floats) -> Floats:
    bounded = parameters.copy()
    bounded[:, :2] = np.clip(bounded[:, :2], -15, 15)
    bounded[:, 2] = np.clip(bounded[:, 2], -20, 20)
    bounded[:, 3] = np.clip(bounded[:, 3], *np.log(SLOPES))
    return bounded


def _shares(parameters: Floats, logs: Floats) -> tuple[Floats, Floats]:
    """(B, L): the shares of errors, and the argument of Φ, which is −inf without noise."""
    lapse, top, middle, slope = _natural(parameters)
    argument = slope[:, None] * (logs - np.log(middle)[:, None])
    return lapse[:, None] + (top - lapse)[:, None] * ndtr(argument), argument


def _loss(parameters: Floats, wrong: Floats, images: Floats, logs: Floats) -> Floats:
    """(B,): minus the log-likelihood."""
    shares = np.clip(_shares(parameters, logs)[0], 1e-12, 1 - 1e-12)
    losses: Floats = -(wrong * np.log(shares) + (images - wrong) * np.log1p(-shares)).sum(axis=1)
    return losses


def _score(parameters: Floats, wrong: Floats, images: Floats, logs: Floats) -> tuple[Floats, Floats]:
    """The gradient of the log-likelihood (B, 4), and Fisher's information (B, 4, 4)."""
    shares, argument = _shares(parameters, logs)
    shares = np.clip(shares, 1e-12, 1 - 1e-12)
    low, high = _logistic(parameters[:, 0])[:, None], _logistic(parameters[:, 1])[:, None]
    slope, there = np.exp(parameters[:, 3])[:, None], np.isfinite(argument)
    finite = np.where(there, argument, 0.0)
    rise = np.where(there, ndtr(finite), 0.0)
    density = np.where(there, np.exp(-(finite**2) / 2) / np.sqrt(2 * np.pi), 0.0)
    top = high
    slopes = np.stack(
        [
            top * low * (1 - low) * (1 - rise),
            top * (1 - high) * (low + (1 - low) * rise),
            -top * (1 - low) * density * slope,
            top * (1 - low) * density * finite,
        ],
        axis=-1,
    )
    weights = images / (shares * (1 - shares))
    gradient = np.einsum("bl,blp->bp", (wrong - images * shares) / (shares * (1 - shares)), slopes)
    return gradient, np.einsum("bl,blp,blq->bpq", weights, slopes, slopes)


def _logistic(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-values))
