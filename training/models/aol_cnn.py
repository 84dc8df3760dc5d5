from typing import Annotated, ClassVar, Literal

import torch
from pydantic import AfterValidator, Field
from torch import nn
from torch.nn.functional import conv2d, linear, pad

from training.models.contract import Model, Normalize

__all__ = ["AolCnn", "AolConv2d", "AolLinear", "MaxMin"]

HALVINGS = 3


def _in_pairs(widths: tuple[int, ...]) -> tuple[int, ...]:
    if any(width % 2 for width in widths):
        raise ValueError(f"MaxMin takes channels in pairs, so widths must be even, got {list(widths)}")
    return widths


Widths = Annotated[
    tuple[Annotated[int, Field(ge=2)], ...],
    Field(min_length=HALVINGS, max_length=HALVINGS),
    AfterValidator(_in_pairs),
]


class AolCnn(Model):
    """A network whose logits change by at most the L2 distance of two images: almost-orthogonal Lipschitz layers (B.
    Prach, C. Lampert, "Almost-orthogonal layers for efficient general-purpose Lipschitz networks", 2022), MaxMin, and
    no batch norm, dropout or max pooling.

    Three times: a block of 2 × 2 pixels becomes channels (an isometry), then two 3 × 3 convolutions to `widths`
    channels; then a dense layer of `dense` units and one for the classes. Sides that are no multiple of 8 are padded
    with zeros. At 40 px and 43 classes 1,141,291 parameters. With `normalization` other than none the constant is that
    of the normalization, 1 / the smallest std."""

    kind: ClassVar[str] = "aol_cnn"
    min_size_px: ClassVar[int] = 2**HALVINGS
    normalization: Literal["none", "train", "imagenet"] = "none"
    widths: Widths = (16, 32, 64)
    dense: Annotated[int, Field(ge=2, multiple_of=2)] = 128

    def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        layers: list[nn.Module] = [PadTo(2**HALVINGS)]
        for width in self.widths:
            layers += [nn.PixelUnshuffle(2), AolConv2d(4 * channels, width), MaxMin()]
            layers += [AolConv2d(width, width), MaxMin()]
            channels = width
        side = -(-size_px // 2**HALVINGS)
        head = [AolLinear(channels * side**2, self.dense), MaxMin(), AolLinear(self.dense, num_classes)]
        return nn.Sequential(*layers, nn.Flatten(), *head)

    def lipschitz_constant(self, network: nn.Sequential) -> float:
        normalize = network[0]
        assert isinstance(normalize, Normalize)
        return float(1 / normalize.std.min())


class MaxMin(nn.Module):
    """The larger and the smaller value of each pair of channels, which sorts them and so keeps all distances (C. Anil,
    J. Lucas, R. Grosse, "Sorting out Lipschitz function approximation", 2019): (N, channels, …) → the same shape."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        one, other = values.chunk(2, dim=1)
        return torch.cat([torch.maximum(one, other), torch.minimum(one, other)], dim=1)


class AolLinear(nn.Linear):
    """x → W x + b with W = P D, ‖W‖₂ ≤ 1, for the free parameters P and the diagonal D_jj = (Σᵢ |PᵀP|_ij)^−½ (Prach and
    Lampert 2022, theorem 1)."""

    def __init__(self, features_in: int, features_out: int) -> None:
        super().__init__(features_in, features_out)
        nn.init.orthogonal_(self.weight)
        nn.init.zeros_(self.bias)

    def rescaled(self) -> torch.Tensor:
        """W, (features_out, features_in)."""
        sums = (self.weight.t() @ self.weight).abs().sum(0)
        return self.weight * _inverse_root(sums)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return linear(values, self.rescaled(), self.bias)


class AolConv2d(nn.Conv2d):
    """A 3 × 3 convolution with zero padding whose operator norm is at most 1: its kernel P, scaled for each input
    channel j by (Σ_{i, offsets} |P ⋆ P|_{ij})^−½, with the correlations P ⋆ P of all pairs of input channels over the
    output channels (Prach and Lampert 2022, theorem 2). Initially the kernel's centre is an orthogonal matrix and the
    rest is 0."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)
        centre = nn.init.orthogonal_(torch.empty(channels_out, channels_in))
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.weight[:, :, 1, 1] = centre

    def rescaled(self) -> torch.Tensor:
        """The scaled kernel, (channels_out, channels_in, 3, 3)."""
        own = self.weight.transpose(0, 1)
        sums = conv2d(own, own, padding=2).abs().sum((1, 2, 3))
        return self.weight * _inverse_root(sums)[:, None, None]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return conv2d(values, self.rescaled(), self.bias, padding=1)


class PadTo(nn.Module):
    """Adds black pixels on the right and at the bottom up to a multiple of `side`; an isometry."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[-2:]
        missing = -height % self.side, -width % self.side
        return pad(images, (0, missing[1], 0, missing[0])) if any(missing) else images


def _inverse_root(sums: torch.Tensor) -> torch.Tensor:
    """sums^−½; 1 where an input has no weights at all."""
    return torch.where(sums > 0, sums, 1.0).rsqrt()
