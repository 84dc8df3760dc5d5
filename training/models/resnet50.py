from typing import ClassVar, Literal

from torch import nn

from training.models.channels import for_channels
from training.models.contract import Model


class Resnet50(Model):
    """ResNet-50 (K. He et al., "Deep residual learning for image recognition", 2016), as in torchvision, with the
    stride in the 3 × 3 convolution of a block; the paper's Table 3 has it at 50 px.

    23,596,139 parameters at 43 classes. The smallest size is that of Keras' ResNet50: a pixel of the last layer."""

    kind: ClassVar[str] = "resnet50"
    min_size_px: ClassVar[int] = 32
    imagenet_weights: ClassVar[str] = "ResNet50_Weights.IMAGENET1K_V2"
    normalization: Literal["none", "train", "imagenet"] = "imagenet"

    def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        from torchvision.models import resnet50

        return for_channels(resnet50(weights=None, num_classes=num_classes), "conv1", channels)
