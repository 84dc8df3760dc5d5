"""What evaluations, attacks and scoring need of a classifier, whoever trained it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from pipelines.datasets.card import DatasetCard
from training.classifiers.trained import Shape

__all__ = ["AnyClassifier"]


class AnyClassifier(Protocol):
    """A trained.Classifier or a foreign.ForeignClassifier, each described there."""

    @property
    def network(self) -> nn.Module:
        """(N, channels, size_px, size_px) in [0, 1] → logits (N, num_classes), in evaluation mode."""

    @property
    def shape(self) -> Shape: ...

    @property
    def about(self) -> Mapping[str, Any]:
        """How it was trained; empty if that is unknown."""

    @property
    def digest(self) -> str: ...

    @property
    def geometry(self) -> str | None:
        """The geometry of its training images; None if it is unknown."""

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The splits of its training images, as far as that is known."""

    @property
    def no_gradients(self) -> str:
        """The reason why its logits have no gradients with respect to the images, without a subject, or ""."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not known of it, or was read in one of several ways: sentences for the user."""

    @property
    def suffix(self) -> str:
        """That of the file that `write` makes."""

    def difference(self, card: DatasetCard) -> str:
        """The reason why it does not fit images of the data set with this card, without a subject, or ""."""

    def write(self, path: Path) -> None:
        """Writes a file for executors.task_device.read_network. Raises CheckpointError."""
