"""The smoothness regularizer of a training: its layers, its penalty in a step, and the names of what is logged."""

from collections.abc import Mapping

import torch
from torch import nn

from pipelines.errors import SettingsError
from training.classifiers.settings import TrainClassifier
from training.loop.sums import StepSums
from training.regularizers import Smoothness

__all__ = ["SmoothedLayers"]

PENALTY = "loss/smoothness/train"


class SmoothedLayers:
    """`layers` are those whose features are compared, in order; none if the settings have no smoothness."""

    def __init__(self, settings: TrainClassifier, network: nn.Module, num_classes: int) -> None:
        """Raises SettingsError."""
        self.smoothness: Smoothness | None = settings.smoothness
        self.num_classes = num_classes
        self.history: list[dict[str, float]] = []
        """σ of each layer, for each finished epoch."""
        self.layers = self.smoothness.layers_of(network) if self.smoothness else {}
        if self.smoothness and (num_classes < 2 or settings.batch_size < 2):
            raise SettingsError(
                f"smoothness: compares images of different classes in a batch; there are {num_classes} classes and "
                f"batch_size={settings.batch_size}"
            )

    @property
    def sum_names(self) -> list[str]:
        return [PENALTY, *(f"smoothness/{name}" for name in self.layers)] if self.layers else []

    def note(self, metrics: Mapping[str, float]) -> None:
        """Keeps the curve of a finished epoch."""
        if self.layers:
            self.history.append({name: metrics[f"smoothness/{name}"] for name in self.layers})

    def penalty(
        self, features: Mapping[str, torch.Tensor], labels: torch.Tensor, valid: torch.Tensor, count: int
    ) -> tuple[torch.Tensor | float, StepSums]:
        """What is added to the mean loss, and the sums by name. `labels` and `valid` (N,) are of the given images, of
        which `count` are valid."""
        if not self.smoothness:
            return 0.0, {}
        found = self.smoothness({name: features[name] for name in self.layers}, labels, valid, self.num_classes)
        logged = {PENALTY: found.penalty, **{f"smoothness/{name}": sigma for name, sigma in found.sigmas.items()}}
        return found.penalty, {name: (value.detach() * count, count) for name, value in logged.items()}
