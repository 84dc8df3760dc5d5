from typing import ClassVar

from torch import nn

from training.models.contract import Model

POOLED_FROM_PX = 64


class Resnet18(Model):
    """ResNet-18 (K. He et al., "Deep residual learning for image recognition", 2016) for small images, as in the
    Parseval report, section 4.1: a first convolution of 3 × 3 and stride 1, and no max pooling after it for SVHN and
    CIFAR-10 (32 px), but for Tiny ImageNet (64 px); here from 64 px on. The blocks are torchvision's.

    11,190,891 parameters at 43 classes."""

    kind: ClassVar[str] = "resnet18"
    min_size_px: ClassVar[int] = 8

    def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        from torchvision.models import resnet18

        network: nn.Module = resnet18(weights=None, num_classes=num_classes)
        first = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
        network.set_submodule("conv1", first)
        if size_px < POOLED_FROM_PX:
            network.set_submodule("maxpool", nn.Identity())
        return network
