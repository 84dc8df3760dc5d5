"""A generator that perturbs an image: its layers, and the bound on the perturbation."""

import math

import torch
from torch import nn

from training.gans.convolutions import doubled, halved, sides

__all__ = ["MIN_NORM", "Perturber", "largest_norm"]

CHANNELS = (16, 32, 64)
BLOCKS = 4
MIN_NORM = 1e-12
"""Used instead of zero as a divisor, for the norms of black images."""


class Perturber(nn.Module):
    """Convolutions down to a quarter of the side, four residual blocks, and back (the paper's appendix, after J.
    Johnson et al., 2016); the output is scaled down to the bound, and added to the image."""

    def __init__(self, size_px: int, eps: float | None, snr_db: float | None) -> None:
        super().__init__()
        self.eps = eps
        self.snr_db = snr_db
        first, second, third = CHANNELS
        full, half, _ = sides(size_px, 2)
        self.model = nn.Sequential(
            nn.Conv2d(3, first, 3, 1, 1), *_normed(first),
            halved(full, first, second), *_normed(second),
            halved(half, second, third), *_normed(third),
            *(Block(third) for _ in range(BLOCKS)),
            doubled(half, third, second), *_normed(second),
            doubled(full, second, first), *_normed(first),
            nn.Conv2d(first, 3, 3, 1, 1),
        )  # fmt: skip

    def forward(self, latent: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (latent.add(1).div(2) + self.perturbation(latent)).clamp(0, 1) * 2 - 1

    def perturbation(self, latent: torch.Tensor) -> torch.Tensor:
        """The perturbation on the scale of [0, 1], before its sum with the image is clipped."""
        raw: torch.Tensor = self.model(latent).float()
        if self.eps is not None:
            return self.eps * raw.tanh()
        norms: torch.Tensor = torch.linalg.vector_norm(raw, dim=(1, 2, 3), keepdim=True).clamp(min=MIN_NORM)
        radius = largest_norm(latent.add(1).div(2), None, self.snr_db).view(-1, 1, 1, 1)
        return raw / norms * radius * (norms / radius.clamp(min=MIN_NORM)).tanh()


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1), *_normed(channels),
            nn.Conv2d(channels, channels, 3, 1, 1), nn.InstanceNorm2d(channels, affine=True),
        )  # fmt: skip

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = self.model(inputs)
        return inputs + changed


def _normed(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(channels, affine=True), nn.ReLU(inplace=True)


def largest_norm(images: torch.Tensor, eps: float | None, snr_db: float | None) -> torch.Tensor:
    """The largest ‖δ‖₂ of each image (N,): √D · eps, or ‖x‖₂ / 10^(SNR/20)."""
    if eps is not None:
        return torch.full((len(images),), eps * math.sqrt(images[0].numel()), device=images.device)
    assert snr_db is not None, "eps or snr_db"
    norms: torch.Tensor = torch.linalg.vector_norm(images, dim=(1, 2, 3))
    return norms / float(10 ** (snr_db / 20))
