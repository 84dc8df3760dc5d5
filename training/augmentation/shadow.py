"""Cast shadows."""

import math
from typing import ClassVar

import torch
from pydantic import Field

from pipelines.settings import Settings

__all__ = ["Shadow"]

LIGHTEST, SOFTEST = 0.1, 0.1


class Shadow(Settings):
    """On a `share` of the images a straight band in any direction is darkened. Many bands are so wide that the shadow
    is a half-plane, or that only a stripe of the image is lit.

    The band begins uniformly within ± half a side of the centre and is uniformly 0.1 to 1.5 sides wide. It loses a
    part of its light, uniform between 0.1 and `deepest`. Its edges are logistic, with a scale uniform between half a
    pixel and a tenth of a side."""

    draws: ClassVar[int] = 6
    share: float = Field(default=0.3, ge=0, le=1)
    deepest: float = Field(default=0.85, ge=0.1, le=1)

    def __call__(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """(N, channels, S, S) in [0, 1], according to the (6, N) uniform numbers in [0, 1)."""
        chosen, turn, place, wide, soft, deep = (draw[:, None, None] for draw in draws)
        side = images.shape[-1]
        at = (torch.arange(side, device=images.device) + 0.5) / side - 0.5
        along = at * (2 * math.pi * turn).cos() + at[:, None] * (2 * math.pi * turn).sin()
        first, scale = place - 0.5, 0.5 / side + soft * (SOFTEST - 0.5 / side)
        last = first + 0.1 + 1.4 * wide
        band = torch.sigmoid((along - first) / scale) * torch.sigmoid((last - along) / scale)
        lost = (LIGHTEST + deep * (self.deepest - LIGHTEST)) * (chosen < self.share)
        light: torch.Tensor = (1 - lost * band)[:, None]
        return images * light
