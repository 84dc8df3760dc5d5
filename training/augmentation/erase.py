"""Occluded parts."""

from typing import ClassVar

import torch
from pydantic import Field

from pipelines.settings import Settings

__all__ = ["Erase"]


class Erase(Settings):
    """On a `share` of the images a rectangle of one random colour covers a part (Z. Zhong et al., "Random erasing data
    augmentation", 2020). Its sides are uniform up to `largest_fraction` of the image's, and it may reach over the
    border."""

    draws: ClassVar[int] = 8
    share: float = Field(default=0.25, ge=0, le=1)
    largest_fraction: float = Field(default=0.3, gt=0, le=1)

    def __call__(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """(N, channels, S, S) in [0, 1], according to the (8, N) uniform numbers in [0, 1)."""
        chosen, x, y, wide, high = (draw[:, None, None] for draw in draws[:5])
        colour = draws[5 : 5 + images.shape[1]].T[:, :, None, None]
        side = images.shape[-1]
        at = (torch.arange(side, device=images.device) + 0.5) / side
        columns = (at - x).abs() < wide * self.largest_fraction / 2
        rows = (at[:, None] - y).abs() < high * self.largest_fraction / 2
        return torch.where((columns & rows & (chosen < self.share))[:, None], colour, images)
