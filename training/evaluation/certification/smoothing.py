"""The votes of a network under Gaussian noise, and the network that an attack on them differentiates."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.attacks.labelled_images import generator

__all__ = ["CHUNK", "MeanOverNoise", "Smoothed", "noise_chunk"]

CHUNK = 100
"""Draws of one generator."""


def noise_chunk(seed: int, purpose: str, image_id: str, chunk: int, shape: torch.Size) -> torch.Tensor:
    """(CHUNK, *shape), float32 of mean 0 and variance 1: a function of the arguments alone. Always drawn on the CPU."""
    drawn = generator(seed, f"certify/{purpose}", image_id, (chunk,))
    return torch.randn(CHUNK, *shape, generator=drawn)


@dataclass(frozen=True)
class Smoothed:
    """The class that `network` gives most often to x + N(0, std² I), of images in [0, 1] (Cohen et al. 2019, equation
    1).

    The sum is not clipped, or the noise would not be Gaussian and the certificate would not hold. Clipping it to [0, 1]
    is the first step of the base classifier, which may be any function of the noisy image: networks are trained on
    clipped noise. `batch_size` noisy images go through the network at a time."""

    network: nn.Module
    std: float
    num_classes: int
    seed: int
    batch_size: int

    def votes(self, image: torch.Tensor, image_id: str, purpose: str, samples: int) -> NDArray[np.int64]:
        """How often each class was predicted, (num_classes,), for `image` (C, S, S). Draws for another `purpose` are
        independent; fewer samples are the first ones of more."""
        counts = torch.zeros(self.num_classes, dtype=torch.int64, device=image.device)
        with torch.inference_mode():
            for noise in self._noise(image, image_id, purpose, samples):
                noisy = noise.to(image.device).mul_(self.std).add_(image).clamp_(0, 1)
                logits = self.network(noisy.contiguous(memory_format=torch.channels_last))
                counts += torch.bincount(logits.argmax(1), minlength=self.num_classes)
        return counts.cpu().numpy()

    def _noise(self, image: torch.Tensor, image_id: str, purpose: str, samples: int) -> Iterator[torch.Tensor]:
        at_once = max(1, self.batch_size // CHUNK)
        chunks = math.ceil(samples / CHUNK)
        for start in range(0, chunks, at_once):
            numbers = range(start, min(start + at_once, chunks))
            drawn = [noise_chunk(self.seed, purpose, image_id, number, image.shape) for number in numbers]
            together = drawn[0] if len(drawn) == 1 else torch.cat(drawn)
            yield together[: samples - start * CHUNK]


class MeanOverNoise(nn.Module):
    """(N, C, S, S) → log of the mean probability (N, num_classes) over the same noise for all images, clipped as in
    Smoothed: what an attack on the smoothed classifier differentiates (H. Salman et al., "Provably robust deep learning
    via adversarially trained smoothed classifiers", NeurIPS 2019, equation 6)."""

    noise: torch.Tensor

    def __init__(self, smoothed: Smoothed, draws: int, like: torch.Tensor) -> None:
        """`draws` of noise, at most CHUNK, for images (N, C, S, S) such as `like`."""
        super().__init__()
        self.network = smoothed.network
        noise = noise_chunk(smoothed.seed, "attack", "", 0, like.shape[1:])[:draws]
        self.register_buffer("noise", (noise * smoothed.std).to(like.device))
        self.train(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        noisy = (images[:, None] + self.noise).clamp(0, 1).flatten(0, 1)
        logits: torch.Tensor = self.network(noisy.contiguous(memory_format=torch.channels_last))
        of_each = logits.log_softmax(1).view(len(images), len(self.noise), -1)
        return of_each.logsumexp(1) - math.log(len(self.noise))
