"""How a latent, or an image, and a class become the input of a network's first layer."""

import math

import torch
from torch import nn

from training.gans.conditioning import ClassEmbedding

__all__ = ["ENCODED", "ClassPlane", "LatentAndClass", "image_encoder"]

ENCODED = 100
"""The number of features of an image in a convolutional generator, equal to the length of the paper's noise."""


class LatentAndClass(nn.Module):
    """(N, *shape), followed by the embedding of the class if `num_classes` is not 0 → (N, features).

    Images are flattened, or go through `encoder` → (N, encoded)."""

    def __init__(
        self, shape: tuple[int, ...], num_classes: int, encoder: nn.Module | None = None, encoded: int = 0
    ) -> None:
        super().__init__()
        self.encoder = encoder or nn.Flatten()
        self.embedding = ClassEmbedding(num_classes, num_classes) if num_classes else None
        self.features = (encoded if encoder else math.prod(shape)) + num_classes

    def forward(self, latent: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.encoder(latent)
        return vectors if self.embedding is None else torch.cat([vectors, self.embedding(labels)], 1)


class ClassPlane(nn.Module):
    """Adds the embedding of the class to images as another channel, if `num_classes` is not 0."""

    def __init__(self, size_px: int, num_classes: int, channels: int) -> None:
        super().__init__()
        self.embedding = ClassEmbedding(num_classes, size_px**2) if num_classes else None
        self.channels = channels + 1 if num_classes else channels

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.embedding is None:
            return images
        plane = self.embedding(labels).view(len(images), 1, *images.shape[2:])
        return torch.cat([images, plane.to(images.dtype)], 1)


def image_encoder(size_px: int, features: int) -> nn.Sequential:
    """(N, 3, size_px, size_px) → (N, features): three convolutions of stride 2 and a dense layer."""
    side = size_px
    for _ in range(3):
        side = -(-side // 2)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 3, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 3, 2, 1), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(128 * side**2, features),
    )  # fmt: skip
