"""What every objective is: a frozen settings object that says what a classifier's step minimizes."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from pipelines.settings import Settings

__all__ = ["Given", "Losses", "Objective"]


class Given(NamedTuple):
    """What a step gives to its objective, on the device.

    `images` (N, C, S, S) in [0, 1] and `labels` (N,), augmented; `image_ids` of them. `logits_of` is the network in
    training mode under the run's precision, as float32, whose gradients are averaged over the ranks: call it on all
    images at once, those of one's own making included. `network` is the same network, for attacks in evaluation mode
    and for whoever looks at its layers. `loss` is the loss of each image, (N, classes) logits and (N,) labels → (N,).
    `draws` is a generator of this step and rank. `features` are the outputs of the layers in `layers` during the
    latest call of logits_of, by name. `epoch` belongs into the key of random starts, so that no two epochs have the
    same."""

    network: nn.Module
    logits_of: Callable[[torch.Tensor], torch.Tensor]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    images: torch.Tensor
    labels: torch.Tensor
    image_ids: list[str]
    draws: np.random.Generator
    features: Mapping[str, torch.Tensor]
    epoch: int


class Losses(NamedTuple):
    """`total` (N,), of each image what is minimized; `logits` (N, classes) of the images as given, for the accuracy;
    `parts`: further losses (N,) by name, which are logged as they are."""

    total: torch.Tensor
    logits: torch.Tensor
    parts: Mapping[str, torch.Tensor] = {}


class Objective(Settings):
    """A member of OBJECTIVES."""

    kind: ClassVar[str]
    parts: ClassVar[tuple[str, ...]] = ()
    """The names of the parts in Losses."""
    layers: ClassVar[tuple[str, ...]] = ()
    """Names of the network's layers, as named_modules has them, whose outputs it needs."""

    @abstractmethod
    def __call__(self, given: Given) -> Losses: ...
