from typing import ClassVar

import torch
from pydantic import Field

from training.gans.latents.contract import Latent, Source


class Gaussian(Latent):
    """`size` independent standard normal numbers; 100 in the paper."""

    kind: ClassVar[str] = "gaussian"
    size: int = Field(default=100, ge=1)

    def shape(self, size_px: int) -> tuple[int, ...]:
        return (self.size,)

    def draw(self, count: int, size_px: int, draws: torch.Generator, source: Source) -> torch.Tensor:
        return torch.randn(count, self.size, generator=draws)
