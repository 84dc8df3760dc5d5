from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from training.gans.contract import GanArchitecture
from training.gans.convolutions import doubled, halved, halved_sides
from training.gans.inputs import ENCODED, ClassPlane, LatentAndClass, image_encoder
from training.gans.verdict import Verdict, judge

SLOPE = 0.2
WIDEST = 4


class R3ganSmall(GanArchitecture):
    """R3GAN (Y. Huang et al., "The GAN is dead; long live the GAN! A modern GAN baseline", NeurIPS 2024), made small
    for CPUs: residual blocks without normalization in both players, the relativistic pairing loss, R1 and R2, and the
    class by projection.

    A block is 1 × 1, 3 × 3 and 1 × 1 convolutions with LeakyReLU 0.2 between, initialized after Fixup: the last one
    with zeros, the others for L blocks with He's standard deviation · L^(−1/4) (section 4.2). There is one block at
    each side; where R3GAN has 3 × 3 convolutions in groups and twice as many channels inside, these have all channels,
    which CPUs prefer. The image itself is left and reached by a 4 × 4 convolution of stride 2.

    `channels` are those of the blocks next to the image; they double with each halving, up to four times as many."""

    kind: ClassVar[str] = "r3gan_small"
    min_size_px: ClassVar[int] = 8
    conditional: bool = True
    loss: Literal["relativistic"] = "relativistic"
    r1: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    r2: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    penalty_every: int = Field(default=4, ge=1)
    projection: bool = True
    spectral_norm: Literal[False] = False  # of a branch that ends with zeros it is 0 / 0
    channels: int = Field(default=32, ge=1)

    def make_generator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        return R3ganGenerator(size_px, self.latent.shape(size_px), num_classes, channels, self.channels)

    def make_discriminator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        return R3ganDiscriminator(size_px, num_classes, channels, self.channels, self.verdict)


class Block(nn.Module):
    """x + branch(x), which is x before the training."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        first, middle = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 3, padding=1)
        last = nn.Conv2d(channels, channels, 1, bias=False)
        for layer in (first, middle):
            _initialize(layer)
            with torch.no_grad():
                layer.weight.mul_(blocks**-0.25)
        nn.init.zeros_(last.weight)
        self.branch = nn.Sequential(first, nn.LeakyReLU(SLOPE), middle, nn.LeakyReLU(SLOPE), last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = images + self.branch(images)
        return changed


class R3ganGenerator(nn.Module):
    def __init__(
        self, size_px: int, latent_shape: tuple[int, ...], num_classes: int, of_images: int, channels: int
    ) -> None:
        super().__init__()
        all_sides = halved_sides(size_px)
        widths = _widths(all_sides, channels)
        encoder = image_encoder(size_px, ENCODED) if len(latent_shape) > 1 else None
        self.input = LatentAndClass(latent_shape, num_classes, encoder, ENCODED)
        self.first = widths[-1], all_sides[-1], all_sides[-1]
        self.project = nn.Linear(self.input.features, widths[-1] * all_sides[-1] ** 2)
        layers: list[nn.Module] = [Block(widths[-1], len(widths))]
        for step in range(len(widths) - 1, 0, -1):
            layers += [
                _linear(nn.Conv2d(widths[step], widths[step - 1], 1, bias=False)),
                nn.Upsample(size=all_sides[step], mode="bilinear"),
                Block(widths[step - 1], len(widths)),
            ]
        self.model = nn.Sequential(*layers, doubled(size_px, channels, of_images), nn.Tanh())

    def forward(self, latent: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self.model(self.project(self.input(latent, labels)).view(-1, *self.first))
        return images


class R3ganDiscriminator(nn.Module):
    def __init__(self, size_px: int, num_classes: int, of_images: int, channels: int, verdict: Verdict) -> None:
        super().__init__()
        self.plane = ClassPlane(size_px, verdict.classes_joined(num_classes), of_images)
        all_sides = halved_sides(size_px)
        widths = _widths(all_sides, channels)
        layers: list[nn.Module] = [halved(size_px, self.plane.channels, channels), Block(channels, len(widths))]
        for step in range(1, len(widths)):
            layers += [
                nn.AdaptiveAvgPool2d(all_sides[step + 1]),
                _linear(nn.Conv2d(widths[step - 1], widths[step], 1, bias=False)),
                Block(widths[step], len(widths)),
            ]
        last = nn.Conv2d(widths[-1], widths[-1], all_sides[-1], groups=widths[-1], bias=False)
        layers += [last, nn.Flatten(), *verdict.layers(widths[-1])]
        self.model = nn.Sequential(*layers)
        self.projected = verdict.embedding(widths[-1], num_classes)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return judge(self.model, self.projected, self.plane(images, labels), labels)


def _widths(all_sides: list[int], channels: int) -> list[int]:
    """The channels of the activations after each halving."""
    return [channels * min(2**step, WIDEST) for step in range(len(all_sides) - 1)]


def _initialize(layer: nn.Conv2d) -> None:
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _linear(layer: nn.Conv2d) -> nn.Conv2d:
    """For a layer that no LeakyReLU follows."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    return layer
