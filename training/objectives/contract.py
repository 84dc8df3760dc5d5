"""The contract of objectives: a frozen settings object that defines what a classifier's step minimizes."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from pipelines.settings import Settings

__all__ = ["Losses", "Objective", "ObjectiveInputs"]


class ObjectiveInputs(NamedTuple):
    """The inputs of an objective in one step, on the device.

    `images` (N, C, S, S) in [0, 1] and `labels` (N,) are augmented; `image_ids` identifies them. `logits_of` is the
    network in training mode under the precision of the run; it returns float32, and its gradients are averaged over
    the ranks. Call it once on all images: the given ones first, then as many that the objective makes of them, in
    their order. `network` is the same network, for attacks in evaluation mode and for access to its layers. `loss` is
    the per-image loss, (N, classes) logits and (N,) labels → (N,). `draws` is a generator of this step and rank.
    `features` are the outputs of the layers in `layers` in the latest call of logits_of, by name. `seed` is that of
    the run; `epoch` and `step`, counted from 0, should be part of the key of random starts, so that they differ
    between epochs. `teachers` are the networks of the objective's teacher_files in evaluation mode, (N, C, S, S) →
    logits (N, classes) in float32, in the same order. `mean_norm` is the mean L2 norm of the training images as
    stored, in [0, 1], if the objective needs it."""

    network: nn.Module
    logits_of: Callable[[torch.Tensor], torch.Tensor]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    images: torch.Tensor
    labels: torch.Tensor
    image_ids: list[str]
    draws: np.random.Generator
    features: Mapping[str, torch.Tensor]
    seed: int
    epoch: int
    step: int
    teachers: Sequence[Callable[[torch.Tensor], torch.Tensor]] = ()
    mean_norm: float = math.nan


class Losses(NamedTuple):
    """`total` (N,): the value to minimize for each image; `logits` (N, classes) of the given images, for the accuracy;
    `parts`: further losses (N,) by name, logged under these names."""

    total: torch.Tensor
    logits: torch.Tensor
    parts: Mapping[str, torch.Tensor] = {}


class Objective(Settings):
    """A member of OBJECTIVES."""

    kind: ClassVar[str]
    parts: ClassVar[tuple[str, ...]] = ()
    """The names of the parts in Losses."""
    layers: ClassVar[tuple[str, ...]] = ()
    """Names of the layers whose outputs it needs, as in named_modules."""
    makes_noise: ClassVar[bool] = False
    """Whether it adds noise itself, so that the augmentation must not."""

    @property
    def needs_mean_norm(self) -> bool:
        """Whether it needs the mean norm of the training images."""
        return False

    @property
    def teacher_files(self) -> tuple[Path, ...] | None:
        """Trained classifiers that it learns from; None if it does not learn from any."""
        return None

    @abstractmethod
    def __call__(self, given: ObjectiveInputs) -> Losses: ...
