from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from pipelines.settings import AddedLater
from training.models.contract import Model

POOLED_FROM_PX = 64
PAPER_WIDTH = 64


class Resnet18(Model):
    """ResNet-18 (K. He et al., "Deep residual learning for image recognition", 2016) for small images, as in the
    Parseval report, section 4.1: a first convolution of 3 × 3 and stride 1, and no max pooling after it for SVHN and
    CIFAR-10 (32 px), but for Tiny ImageNet (64 px); here from 64 px on. The blocks are torchvision's.

    `width` channels in the first stage, and 2, 4 and 8 times as many in the others; at least 8, since with fewer the
    gradient of the 1 × 1 convolutions of stride 2 corrupts memory on a CPU (PyTorch 2.15, images in channels_last).
    `convex_sums`: each block is a ConvexSum.

    11,190,891 parameters at 43 classes."""

    kind: ClassVar[str] = "resnet18"
    min_size_px: ClassVar[int] = 8
    width: Annotated[int, AddedLater(before=PAPER_WIDTH)] = Field(default=PAPER_WIDTH, ge=8)
    convex_sums: Annotated[bool, AddedLater(before=False)] = False

    def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        from torchvision.models import resnet18

        network: nn.Module = resnet18(weights=None, num_classes=num_classes)
        network.set_submodule("conv1", _drawn(nn.Conv2d(channels, self.width, 3, padding=1, bias=False)))
        if size_px < POOLED_FROM_PX:
            network.set_submodule("maxpool", nn.Identity())
        if self.width != PAPER_WIDTH:
            _set_width(network, self.width, num_classes)
        if self.convex_sums:
            for stage in range(1, 5):
                for place in (0, 1):
                    name = f"layer{stage}.{place}"
                    network.set_submodule(name, ConvexSum(network.get_submodule(name)))
        return network


class ConvexSum(nn.Module):
    """A residual block of torchvision whose sum is a · F(x) + (1 − a) · x before the last ReLU, with a trained a in
    [0, 1] that is ½ at first (M. Cisse et al., "Parseval networks: improving robustness to adversarial examples", 2017,
    section 4.2, "Convexity constraints in aggregation layers"). Where the block changes the shape, x stands for its
    1 × 1 convolution with batch norm.

    The hook of training/regularizers/parseval.py calls `project` on every module that has it, after each step of the
    optimizer; without it nothing keeps a in [0, 1]."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = block.conv1, block.bn1, block.relu
        self.conv2, self.bn2 = block.conv2, block.bn2
        self.downsample = block.downsample
        self.share = nn.Parameter(torch.tensor(0.5))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, S, S) → (N, C, S, S), or (N, 2C, S/2, S/2)."""
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(images)))))
        kept = images if self.downsample is None else self.downsample(images)
        result: torch.Tensor = self.relu(self.share * residual + (1 - self.share) * kept)
        return result

    @torch.no_grad()
    def project(self) -> None:
        """Moves a to the nearest number in [0, 1]: for two weights of sum 1 the projection onto the simplex."""
        self.share.clamp_(0, 1)


def _set_width(network: nn.Module, width: int, num_classes: int) -> None:
    from torchvision.models.resnet import BasicBlock

    network.set_submodule("bn1", nn.BatchNorm2d(width))
    inside = width
    for stage, outside in enumerate((width, 2 * width, 4 * width, 8 * width), start=1):
        stride, downsample = 1, None
        if stage > 1:
            stride = 2
            downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        blocks = nn.Sequential(BasicBlock(inside, outside, stride, downsample), BasicBlock(outside, outside))
        for layer in blocks.modules():
            if isinstance(layer, nn.Conv2d):
                _drawn(layer)
        network.set_submodule(f"layer{stage}", blocks)
        inside = outside
    network.set_submodule("fc", nn.Linear(inside, num_classes))


def _drawn(convolution: nn.Conv2d) -> nn.Conv2d:
    """With weights drawn as torchvision draws those of a ResNet."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution
