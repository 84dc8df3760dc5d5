"""CERTIFY of Cohen et al. 2019 with one noisy image at a time, in float64 where it counts."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.stats import binom, norm
from torch import nn

from training.evaluation.certification.smoothing import CHUNK, noise_chunk

__all__ = ["Certified", "certify", "clopper_pearson"]


class Certified(NamedTuple):
    predicted: int | None
    hits: int
    radius: float


def clopper_pearson(hits: int, samples: int, alpha: float) -> float:
    """The p at which `hits` or more have the probability alpha."""
    if not hits:
        return 0.0
    return float(brentq(lambda p: binom.sf(hits - 1, samples, p) - alpha, 0, 1, xtol=1e-14))


def sample(
    network: nn.Module, image: torch.Tensor, image_id: str, purpose: str, n: int, std: float, seed: int
) -> list[int]:
    predicted = []
    for number in range(n):
        if number % CHUNK == 0:
            noise = noise_chunk(seed, purpose, image_id, number // CHUNK, image.shape).numpy()
        noisy = np.clip(image.numpy() + np.float32(std) * noise[number % CHUNK], 0, 1)
        with torch.no_grad():
            logits = network(torch.from_numpy(noisy)[None])[0].numpy()
        predicted.append(int(np.argmax(logits)))
    return predicted


def certify(
    network: nn.Module, image: torch.Tensor, image_id: str, n0: int, n: int, alpha: float, std: float, seed: int
) -> Certified:
    first = sample(network, image, image_id, "select", n0, std, seed)
    top = max(set(first), key=lambda one: (first.count(one), -one))
    hits = sample(network, image, image_id, "estimate", n, std, seed).count(top)
    p_lower = clopper_pearson(hits, n, alpha)
    if p_lower > 0.5:
        return Certified(top, hits, std * float(norm.ppf(p_lower)))
    return Certified(None, hits, 0.0)
