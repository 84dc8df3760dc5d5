from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from training.models.contract import Model

CHANNELS = (16, 32, 64)


class BaselineCnn(Model):
    """The paper's baseline (Figure 8): three blocks of 3 × 3 convolution and 2 × 2 max pooling, then a dense layer of
    128 units and one for the classes.

    234,059 parameters at 40 px and 43 classes. Figure 8 shows no activations. We use ReLU, as in Keras' image
    classification tutorial, which has the same rescaling layer and sizes 16, 32, 64, 128. Figure 8 has no dropout
    either; `dropout` is an addition. `initialization="keras"` draws weights as Keras does by default (Glorot uniform,
    biases zero), "torch" as PyTorch does."""

    kind: ClassVar[str] = "baseline_cnn"
    min_size_px: ClassVar[int] = 2 ** len(CHANNELS)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    initialization: Literal["keras", "torch"] = "torch"

    def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        layers: list[nn.Module] = []
        for channels_in, channels_out in zip((channels, *CHANNELS), CHANNELS, strict=False):
            layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        features = CHANNELS[-1] * (size_px // 2 ** len(CHANNELS)) ** 2
        head = [nn.Linear(features, 128), nn.ReLU(), nn.Dropout(self.dropout), nn.Linear(128, num_classes)]
        network = nn.Sequential(*layers, nn.Flatten(), *head)
        if self.initialization == "keras":
            network.apply(_initialize_as_keras)
        return network


def _initialize_as_keras(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
