"""The contract of classifiers: a frozen settings object that builds a network whose first layer normalizes."""

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from pipelines.errors import SettingsError
from pipelines.settings import AddedLater, PathOrName, Settings

__all__ = ["Channels", "Model", "Normalize"]

Channels = tuple[float, ...]
"""One number for each channel of an image, 1 or 3."""
IMAGENET = {3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), 1: ((0.449,), (0.226,))}
"""Mean and standard deviation of ImageNet's training images by the number of channels, as torchvision's weights expect
them; for one channel the means of both over the three."""


class Normalize(nn.Module):
    """(x − mean) / std per channel, as the first layer of the network, so that attacks, SNR and epsilon outside it are
    in pixel space. Not trained; saved with the network."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Channels, std: Channels) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, channels, S, S) in [0, 1]."""
        return (images - self.mean) / self.std


class Model(Settings):
    """The settings of an architecture; `build` makes the network, with weights drawn from a seed.

    `weights` are those that a training starts from: "none" for the drawn ones; "imagenet" for torchvision's
    (`imagenet_weights`, if there are any for this architecture); or a file with a state dict
    (classifiers/pretrained.py)."""

    kind: ClassVar[str]
    min_size_px: ClassVar[int] = 1
    imagenet_weights: ClassVar[str] = ""
    weights: Annotated[PathOrName, AddedLater(before="none")] = "none"
    normalization: Literal["none", "train", "imagenet"] = Field(
        default="train",
        description="train: by the channel mean and std of the training images; imagenet: of ImageNet's",
    )

    @abstractmethod
    def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        """The network after normalization: (N, channels, size_px, size_px) → logits (N, num_classes)."""

    def build(self, size_px: int, num_classes: int, mean: Channels, std: Channels, seed: int) -> nn.Sequential:
        """Normalization and layers, with initial weights drawn from `seed` alone. Raises SettingsError."""
        if size_px < self.min_size_px:
            raise SettingsError(f"data.size_px={size_px}: {self.kind} needs at least {self.min_size_px} px")
        channels = len(mean)
        if self.normalization == "none":
            mean, std = (0.0,) * channels, (1.0,) * channels
        if self.normalization == "imagenet":
            mean, std = IMAGENET[channels]
        with torch.random.fork_rng(devices=[]):  # torch initializes from its global generator and from no other
            torch.manual_seed(seed)
            return nn.Sequential(Normalize(mean, std), self.layers(size_px, num_classes, channels))

    def lipschitz_constant(self, network: nn.Sequential) -> float | None:
        """A bound of ‖logits(x) − logits(y)‖₂ / ‖x − y‖₂ for all images x and y in [0, 1], for a network of this kind
        in evaluation mode; None if none is known."""
        return None
