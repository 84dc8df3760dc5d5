"""Differentiable augmentation of the images that a discriminator sees."""

import torch
from pydantic import Field

from pipelines.settings import Settings

__all__ = ["DRAWS", "DiffAugment"]

DRAWS = 7
"""The random numbers of one image: brightness, saturation, contrast, shift down and right, place of the hole down and
right."""


class DiffAugment(Settings):
    """Real and generated images are changed by the same random law before the discriminator, and the generator's
    gradient passes through it, so that a discriminator cannot memorize few images (S. Zhao et al., "Differentiable
    augmentation for data-efficient GAN training", NeurIPS 2020; policies and constants of the authors' code).

    `color`: x + U(−½, ½); saturation · U(0, 2) around the mean over channels; contrast · U(½, 3/2) around the mean of
    the image. `translation`: by up to this share of the side; 0, which is grey, comes in. `cutout`: a square with this
    share of the side becomes 0, its centre anywhere in the image. 0 switches either off."""

    color: bool = True
    translation: float = Field(default=0.125, ge=0, lt=1)
    cutout: float = Field(default=0.5, ge=0, lt=1)

    def __call__(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """Images (N, C, S, S) in [-1, 1], changed by `draws` (N, DRAWS), uniform in [0, 1); values may leave [-1,
        1]."""
        of_color, shifts, places = draws[:, :3, None, None, None], draws[:, 3:5], draws[:, 5:7]
        if self.color:
            images = _recolored(images, of_color)
        size_px = images.shape[-1]
        if self.translation:
            reach = int(size_px * self.translation + 0.5)
            images = _shifted(images, (shifts * (2 * reach + 1)).long() - reach)
        if self.cutout:
            side = int(size_px * self.cutout + 0.5)
            images = images * _outside(size_px, side, (places * (size_px + 1 - side % 2)).long())
        return images


def _recolored(images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    images = images + (draws[:, 0] - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (draws[:, 1] * 2) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (draws[:, 2] + 0.5) + mean


def _shifted(images: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Each image moved down and right by its own `shifts` (N, 2), in pixels."""
    size_px = images.shape[-1]
    ways = torch.arange(size_px, device=images.device) - shifts[:, :, None]  # (N, 2, S): where each pixel comes from
    there = (ways >= 0) & (ways < size_px)
    rows, columns = ways.clamp(0, size_px - 1).unbind(dim=1)
    numbers = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[numbers, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return moved * (there[:, 0, :, None] & there[:, 1, None, :])[:, None]


def _outside(size_px: int, side: int, centres: torch.Tensor) -> torch.Tensor:
    """(N, 1, S, S): 0 in a square around each of `centres` (N, 2), 1 elsewhere."""
    starts = (centres - side // 2)[:, :, None]
    places = torch.arange(size_px, device=centres.device)
    inside = (places >= starts) & (places < starts + side)
    return ~(inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]
