from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import affine_grid, grid_sample

from training.models.contract import Model

__all__ = ["ContrastNormalize", "SignNet", "SpatialTransformer"]

Widths = Annotated[tuple[int, ...], Field(min_length=5, max_length=5)]
KERNELS = (5, 3, 3, 3, 3)
POOLED_AFTER = (0, 1, 2, 4)
"""The convolutions that are followed by 2 × 2 max pooling."""
SMALLEST_STD = 1 / 255


class SignNet(Model):
    """Five convolutions (the first 5 × 5, the others 3 × 3) with batch norm and ReLU, four times 2 × 2 max pooling, and
    a dense layer for the classes. Each image is first normalized by its own contrast.

    At 48 px and 43 classes 800,907 parameters and 43.5 million multiplications. `widths` are the channels of the
    convolutions. `contrast`: "image" normalizes by one mean and one standard deviation of all values of the image,
    "channel" by those of each channel, "none" not at all. `transformer`: a spatial transformer (M. Jaderberg et al.,
    "Spatial transformer networks", 2015) after the contrast normalization. `dropout` acts on the input of the dense
    layer."""

    kind: ClassVar[str] = "sign_net"
    min_size_px: ClassVar[int] = 2 ** len(POOLED_AFTER)
    normalization: Literal["none", "train", "imagenet"] = "none"
    widths: Widths = (32, 48, 112, 192, 256)
    contrast: Literal["none", "image", "channel"] = "image"
    transformer: bool = False
    dropout: float = Field(default=0.3, ge=0, lt=1)

    def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        layers: list[nn.Module] = [] if self.contrast == "none" else [ContrastNormalize(self.contrast)]
        if self.transformer:
            layers.append(SpatialTransformer(channels))
        for number, (before, width) in enumerate(zip((channels, *self.widths), self.widths, strict=False)):
            layers += _block(before, width, KERNELS[number])
            if number in POOLED_AFTER:
                layers.append(nn.MaxPool2d(2))
        features = self.widths[-1] * (size_px // 2 ** len(POOLED_AFTER)) ** 2
        return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(self.dropout), nn.Linear(features, num_classes))


class ContrastNormalize(nn.Module):
    """(x − μ) / √(σ² + ε²) with the mean μ and the standard deviation σ of each image, or of each of its channels, and
    ε one grey level. Its result hardly depends on the light; its gradient is finite for an image of one colour."""

    def __init__(self, of: Literal["image", "channel"] = "image") -> None:
        super().__init__()
        self.of = of

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, channels, S, S) → the same shape, in float32."""
        images = images.float()
        axes = (1, 2, 3) if self.of == "image" else (2, 3)
        variance, mean = torch.var_mean(images, dim=axes, correction=0, keepdim=True)
        return (images - mean) * torch.rsqrt(variance + SMALLEST_STD**2)


class SpatialTransformer(nn.Module):
    """Resamples each image by an affine map that a small network of two convolutions finds in it, at half the
    resolution. Initially the identity; areas outside of the image are 0, its mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.localization = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(channels, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
            nn.Linear(32 * 4 * 4, 32), nn.ReLU(),
        )  # fmt: skip
        self.affine = nn.Linear(32, 6)
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, channels, S, S) → the same shape."""
        rows = self.affine(self.localization(images)).float().view(-1, 2, 3)
        grid = affine_grid(rows, list(images.shape), align_corners=False)
        return grid_sample(images, grid, align_corners=False)


def _block(before: int, width: int, kernel: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, width, kernel, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU()]
