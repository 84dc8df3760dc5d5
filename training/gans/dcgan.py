from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from training.gans.contract import GanArchitecture
from training.gans.convolutions import doubled, halved, halved_sides
from training.gans.inputs import ENCODED, ClassPlane, LatentAndClass, image_encoder
from training.gans.verdict import Verdict, judge

WEIGHT_STD = 0.02


class Dcgan(GanArchitecture):
    """A. Radford et al., "Unsupervised representation learning with deep convolutional generative adversarial networks"
    (2016): convolutions of stride 2, batch norm except next to the image in both players, ReLU and LeakyReLU 0.2, tanh,
    weights N(0, 0.02).

    `channels` are those of the layer next to the image; they double with each halving. `spectral_norm` takes
    the place of batch norm in the discriminator. If conditional, the embedding of the class is joined
    to the latent, and is another channel of the discriminator's image."""

    kind: ClassVar[str] = "dcgan"
    min_size_px: ClassVar[int] = 8
    loss: Literal["bce", "least_squares", "relativistic"] = "bce"
    channels: int = Field(default=64, ge=1)
    spectral_norm: bool = False

    def make_generator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        generator = DcganGenerator(size_px, self.latent.shape(size_px), num_classes, channels, self.channels)
        return generator.apply(_initialize)

    def make_discriminator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        return DcganDiscriminator(size_px, num_classes, channels, self.channels, not self.spectral_norm, self.verdict)


class DcganGenerator(nn.Module):
    def __init__(
        self, size_px: int, latent_shape: tuple[int, ...], num_classes: int, of_images: int, channels: int
    ) -> None:
        super().__init__()
        self.sides = halved_sides(size_px)
        self.widths = _widths(self.sides, channels)
        encoder = image_encoder(size_px, ENCODED) if len(latent_shape) > 1 else None
        self.input = LatentAndClass(latent_shape, num_classes, encoder, ENCODED)
        first = self.widths[-1] * self.sides[-1] ** 2
        self.project = nn.Linear(self.input.features, first, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(self.widths[-1]), nn.ReLU(inplace=True)]
        for step in range(len(self.widths) - 1, 0, -1):
            layers += [
                doubled(self.sides[step], self.widths[step], self.widths[step - 1], bias=False),
                nn.BatchNorm2d(self.widths[step - 1]),
                nn.ReLU(inplace=True),
            ]
        self.model = nn.Sequential(*layers, doubled(size_px, channels, of_images), nn.Tanh())

    def forward(self, latent: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        vectors = self.project(self.input(latent, labels))
        images: torch.Tensor = self.model(vectors.view(-1, self.widths[-1], self.sides[-1], self.sides[-1]))
        return images


class DcganDiscriminator(nn.Module):
    def __init__(
        self, size_px: int, num_classes: int, of_images: int, channels: int, batch_norm: bool, verdict: Verdict
    ) -> None:
        super().__init__()
        self.plane = ClassPlane(size_px, verdict.classes_joined(num_classes), of_images)
        all_sides = halved_sides(size_px)
        widths = _widths(all_sides, channels)
        layers: list[nn.Module] = [halved(size_px, self.plane.channels, channels), nn.LeakyReLU(0.2, inplace=True)]
        for step in range(1, len(widths)):
            layers.append(halved(all_sides[step], widths[step - 1], widths[step], bias=not batch_norm))
            layers += [nn.BatchNorm2d(widths[step])] if batch_norm else []
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        features = widths[-1] * all_sides[-1] ** 2
        self.model = nn.Sequential(*layers, nn.Flatten(), *verdict.layers(features)).apply(_initialize)
        self.projected = verdict.embedding(features, num_classes)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return judge(self.model, self.projected, self.plane(images, labels), labels)


def _widths(all_sides: list[int], channels: int) -> list[int]:
    """The channels of the activations after each halving."""
    return [channels * 2**step for step in range(len(all_sides) - 1)]


def _initialize(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0, WEIGHT_STD)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, WEIGHT_STD)
