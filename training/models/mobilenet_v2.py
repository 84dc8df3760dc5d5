from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from training.models.channels import for_channels
from training.models.contract import Model


class MobilenetV2(Model):
    """MobileNetV2 (M. Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018), width 1, as in
    torchvision.

    2,278,955 parameters at 43 classes. The smallest size is that of Keras' MobileNetV2: a pixel of the last layer.
    `dropout` acts on the 1,280 features."""

    kind: ClassVar[str] = "mobilenet_v2"
    min_size_px: ClassVar[int] = 32
    imagenet_weights: ClassVar[str] = "MobileNet_V2_Weights.IMAGENET1K_V2"
    normalization: Literal["none", "train", "imagenet"] = "imagenet"
    dropout: float = Field(default=0.2, ge=0, lt=1)

    def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        from torchvision.models import mobilenet_v2

        network: nn.Module = mobilenet_v2(weights=None, num_classes=num_classes, dropout=self.dropout)
        return for_channels(network, "features.0.0", channels)
