"""Small images that were enlarged."""

from typing import ClassVar

import torch
from pydantic import Field

from pipelines.settings import Settings

__all__ = ["LowResolution", "resampling"]


class LowResolution(Settings):
    """A `share` of the images is reduced to a side of n pixels and enlarged again, with Pillow's antialiased bilinear
    filter as in pipelines.geometry; n is log-uniform between `smallest_px` and the side of the image. A sign that is
    15 px high in its photograph looks like this in a data set of 48 px."""

    draws: ClassVar[int] = 2
    share: float = Field(default=0.3, ge=0, le=1)
    smallest_px: int = Field(default=12, ge=1)

    def __call__(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """(N, channels, S, S), according to the (2, N) uniform numbers in [0, 1)."""
        chosen, size = draws
        side = images.shape[-1]
        smallest = min(self.smallest_px, side)
        reduced_px = (smallest * (side / smallest) ** size).round()
        blurred = resampling(side, torch.where(chosen < self.share, reduced_px, float(side)))[:, None]
        return (blurred @ images @ blurred.mT).clamp(0, 1)


def resampling(side: int, reduced_px: torch.Tensor) -> torch.Tensor:
    """(N, side, side): the matrices that reduce a column of `side` values to `reduced_px` (N,) ones and enlarge it
    again. Each is a weighted mean with the weights max(0, 1 − |d|), where d is the distance of the centres of two
    pixels in units of the larger pixel. The identity where nothing is reduced."""
    at = torch.arange(side, device=reduced_px.device, dtype=torch.float32)
    small = reduced_px[:, None, None]
    scale = torch.full_like(small, side) / small  # side / small would multiply by a rounded reciprocal
    inside = at < small  # (N, 1, side): there are no more pixels in the small image
    centres = ((at + 0.5)[:, None] * scale).mT  # of its pixels, in pixels of the large one
    down = (1 - ((at + 0.5)[:, None] - centres).abs() / scale).clamp_min(0)  # (N, large, small)
    down = down / down.sum(1, keepdim=True).clamp_min(1e-12)
    up = (1 - (((at + 0.5)[:, None] - centres) / scale).abs()).clamp_min(0) * inside  # (N, large, small)
    up = up / up.sum(2, keepdim=True)
    return up @ down.mT
