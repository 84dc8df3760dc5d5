"""Blur by motion."""

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch.nn.functional import affine_grid, grid_sample

from pipelines.settings import Settings

__all__ = ["MotionBlur"]

MOMENTS = 9


class MotionBlur(Settings):
    """A `share` of the images is the mean of 9 moments of a straight motion in any direction, whose length is uniform
    up to `longest_fraction` of a side. Border pixels are repeated."""

    draws: ClassVar[int] = 3
    share: float = Field(default=0.2, ge=0, le=1)
    longest_fraction: float = Field(default=0.15, gt=0, le=1)

    def __call__(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """(N, channels, S, S), according to the (3, N) uniform numbers in [0, 1)."""
        chosen, turn, long = draws
        angle, length = math.pi * turn, 2 * self.longest_fraction * long
        way = torch.stack([angle.cos() * length, angle.sin() * length], dim=1)[:, :, None]
        still = torch.eye(2, device=images.device).expand(len(images), 2, 2)
        blurred = torch.zeros_like(images)
        for moment in range(MOMENTS):
            rows = torch.cat([still, (moment / (MOMENTS - 1) - 0.5) * way], dim=2)
            grid = affine_grid(rows, list(images.shape), align_corners=False)
            blurred += grid_sample(images, grid, padding_mode="border", align_corners=False) / MOMENTS
        return torch.where((chosen < self.share)[:, None, None, None], blurred, images)
