from typing import ClassVar

import torch
from pydantic import Field

from training.gans.latents.contract import Latent, Source


class Uniform(Latent):
    """`size` independent numbers, uniform in [-1, 1) (A. Radford et al., "Unsupervised representation learning with
    deep convolutional generative adversarial networks", 2016, section 4)."""

    kind: ClassVar[str] = "uniform"
    size: int = Field(default=100, ge=1)

    def shape(self, size_px: int) -> tuple[int, ...]:
        return (self.size,)

    def draw(self, count: int, size_px: int, draws: torch.Generator, source: Source) -> torch.Tensor:
        return torch.rand(count, self.size, generator=draws).mul_(2).sub_(1)
