"""The paper's fully connected players, for any size."""

import torch
from torch import nn

from training.gans.inputs import LatentAndClass
from training.gans.verdict import Verdict, judge

__all__ = ["PerceptronDiscriminator", "PerceptronGenerator"]

GENERATOR_WIDTHS = (128, 256, 512, 1024)
DISCRIMINATOR_WIDTHS = (512, 256)
SLOPE = 0.2
EPS = 0.8
"""The momentum of batch norm, from the paper's Figure 7: code that passes 0.8 by position means the momentum."""


class PerceptronGenerator(nn.Module):
    """Figure 7: dense 100-128-256-512-1024-2352 at 28 px, batch norm except at both ends, LeakyReLU, tanh."""

    def __init__(self, size_px: int, latent_shape: tuple[int, ...], num_classes: int, channels: int) -> None:
        super().__init__()
        self.shape = channels, size_px, size_px
        self.input = LatentAndClass(latent_shape, num_classes)
        layers: list[nn.Module] = []
        features = self.input.features
        for number, width in enumerate(GENERATOR_WIDTHS):
            layers.append(nn.Linear(features, width))
            if number > 0:
                layers.append(nn.BatchNorm1d(width, EPS))
            layers.append(nn.LeakyReLU(SLOPE, inplace=True))
            features = width
        self.model = nn.Sequential(*layers, nn.Linear(features, channels * size_px**2), nn.Tanh())

    def forward(self, latent: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self.model(self.input(latent, labels))
        return images.view(-1, *self.shape)


class PerceptronDiscriminator(nn.Module):
    """Figure 6: dense 2352-512-256-1 at 28 px, LeakyReLU; the sigmoid at its end is part of the loss."""

    def __init__(self, size_px: int, num_classes: int, channels: int, verdict: Verdict) -> None:
        super().__init__()
        self.input = LatentAndClass((channels, size_px, size_px), verdict.classes_joined(num_classes))
        layers: list[nn.Module] = []
        features = self.input.features
        for width in DISCRIMINATOR_WIDTHS:
            layers += [nn.Linear(features, width), nn.LeakyReLU(SLOPE, inplace=True)]
            features = width
        self.model = nn.Sequential(*layers, *verdict.layers(features))
        self.projected = verdict.embedding(features, num_classes)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return judge(self.model, self.projected, self.input(images, labels), labels)
