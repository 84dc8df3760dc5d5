from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from pipelines.settings import AddedLater
from training.gans.contract import GanArchitecture
from training.gans.convolutions import doubled, halved, sides
from training.gans.inputs import ENCODED, ClassPlane, LatentAndClass, image_encoder
from training.gans.verdict import Verdict, judge

DOUBLINGS, HALVINGS = 3, 4


class WganGp(GanArchitecture):
    """The report's Wasserstein GAN ("Robust classifier using GAN", section III), with the gradient penalty of I.
    Gulrajani et al. (2017): weight 10, and five steps of the critic for one of the generator.

    Generator: a dense layer to 512 × 4 × 4 at 32 px, transposed convolutions to 256, 128 and 64 channels that double
    the side, and one to the image that does not; ReLU, tanh. Critic: convolutions to 64, 128, 256 and 512 channels that
    halve the side, LeakyReLU, a dense layer. Neither has batch norm; weights are initialized after Xavier. As in the
    report, the class is joined to the latent; `conditional` also adds it to the critic's input, as a channel of the
    image.

    `width` are the channels next to the image, 64 in the report; the others are two, four and eight times as many."""

    kind: ClassVar[str] = "wgan_gp"
    min_size_px: ClassVar[int] = 8
    conditional: bool = True
    loss: Literal["wasserstein"] = "wasserstein"
    n_critic: int = Field(default=5, ge=1)
    penalty: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    width: Annotated[int, AddedLater(before=64)] = Field(default=64, ge=1)

    def make_generator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        latent_shape = self.latent.shape(size_px)
        return WganGenerator(size_px, latent_shape, num_classes, channels, self.width).apply(_initialize)

    def make_discriminator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        return WganCritic(size_px, num_classes, channels, self.width, self.verdict).apply(_initialize)


class WganGenerator(nn.Module):
    def __init__(
        self, size_px: int, latent_shape: tuple[int, ...], num_classes: int, channels: int, width: int
    ) -> None:
        super().__init__()
        self.widths = [width * 2**step for step in range(DOUBLINGS, -1, -1)]
        all_sides = sides(size_px, DOUBLINGS)
        self.side = all_sides[-1]
        encoder = image_encoder(size_px, ENCODED) if len(latent_shape) > 1 else None
        self.input = LatentAndClass(latent_shape, num_classes, encoder, ENCODED)
        self.dense = nn.Linear(self.input.features, self.widths[0] * self.side**2)
        layers: list[nn.Module] = [nn.ReLU(inplace=True)]
        for side, before, after in zip(all_sides[-2::-1], self.widths[:-1], self.widths[1:], strict=True):
            layers += [doubled(side, before, after), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 3, 1, 1), nn.Tanh())

    def forward(self, latent: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        first = self.dense(self.input(latent, labels)).view(-1, self.widths[0], self.side, self.side)
        images: torch.Tensor = self.model(first)
        return images


class WganCritic(nn.Module):
    def __init__(self, size_px: int, num_classes: int, channels: int, width: int, verdict: Verdict) -> None:
        super().__init__()
        self.plane = ClassPlane(size_px, verdict.classes_joined(num_classes), channels)
        widths = [width * 2**step for step in range(HALVINGS)]
        all_sides = sides(size_px, HALVINGS)
        before = (self.plane.channels, *widths)
        layers: list[nn.Module] = []
        for side, channels_in, channels_out in zip(all_sides[:-1], before[:-1], widths, strict=True):
            layers += [halved(side, channels_in, channels_out), nn.LeakyReLU(0.2, inplace=True)]
        features = widths[-1] * all_sides[-1] ** 2
        self.model = nn.Sequential(*layers, nn.Flatten(), *verdict.layers(features))
        self.projected = verdict.embedding(features, num_classes)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return judge(self.model, self.projected, self.plane(images, labels), labels)


def _initialize(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and layer.bias is not None:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
