from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from training.models.channels import for_channels
from training.models.contract import Model


class InceptionV3(Model):
    """Inception-v3 (C. Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016), as in
    torchvision; the paper's Table 3 has it at 75 px.

    21,873,675 parameters at 43 classes. It has no auxiliary classifier, neither in training nor in evaluation: at 75 px
    the layer in front of that one is 3 × 3, and its average pooling needs 5 × 5. Keras' InceptionV3 has none either,
    and the same smallest size, below which the last blocks have no pixels left. With `normalization="imagenet"` images
    of three channels are mapped to [−1, 1], as its ImageNet weights expect them. `dropout` acts on the 2,048
    features. Weights are drawn as PyTorch draws them: torchvision's own initialization (standard deviation 0.1
    everywhere) starts at a loss of 9 on 43 classes, where a guess has ln 43 = 3.8."""

    kind: ClassVar[str] = "inception_v3"
    min_size_px: ClassVar[int] = 75
    imagenet_weights: ClassVar[str] = "Inception_V3_Weights.IMAGENET1K_V1"
    normalization: Literal["none", "train", "imagenet"] = "imagenet"
    dropout: float = Field(default=0.5, ge=0, lt=1)

    def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        from torchvision.models import inception_v3

        to_unit = channels == 3 and self.normalization == "imagenet"
        network: nn.Module = inception_v3(
            weights=None, num_classes=num_classes, aux_logits=False, init_weights=False, dropout=self.dropout,
            transform_input=to_unit,
        )  # fmt: skip
        return for_channels(network, "Conv2d_1a_3x3.conv", channels)
