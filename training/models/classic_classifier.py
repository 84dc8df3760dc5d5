from typing import ClassVar

from torch import nn

from training.models.contract import Model

WIDTH, DENSE = 32, 128


class ClassicClassifier(Model):
    """The classic classifier of the WGAN report: two 3 × 3 convolutions of 32 channels, 2 × 2 max pooling, a dense
    layer of 128 units and one for the classes. Each is batch-normalized, the last one too, and ReLU follows all but the
    last one. Weights are drawn as by X. Glorot and Y. Bengio (2010), "Xavier" in the report.

    At 32 px and one channel 1,059,764 parameters with ten classes. Convolutions and dense layers have no bias, which
    batch norm would take away again."""

    kind: ClassVar[str] = "classic_classifier"
    min_size_px: ClassVar[int] = 2

    def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        network = nn.Sequential(
            nn.Conv2d(channels, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(WIDTH * (size_px // 2) ** 2, DENSE, bias=False), nn.BatchNorm1d(DENSE), nn.ReLU(),
            nn.Linear(DENSE, num_classes, bias=False), nn.BatchNorm1d(num_classes),
        )  # fmt: skip
        for layer in network:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
        return network
