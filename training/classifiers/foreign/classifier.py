"""A classifier from outside, in the place of one that was trained here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import nn

from pipelines.datasets.card import DatasetCard
from training.classifiers.foreign import FORMS, ForeignError, Form
from training.classifiers.foreign.logits import Logits
from training.classifiers.foreign.trial import Trial
from training.classifiers.trained import Shape
from training.loop.checkpoints import Checkpoint, fitting

__all__ = ["SUFFIX", "ForeignClassifier", "Images"]

KIND = "foreign classifier"
SUFFIX = ".foreign"


class Images(NamedTuple):
    """The images that a network is to be shown; `num_classes` is None if that is unknown, `source` is their name in
    messages."""

    size_px: int
    channels: int
    num_classes: int | None
    source: str


@dataclass(frozen=True)
class ForeignClassifier:
    """`network` returns logits whatever the form's returns. mean and std of `shape` are 0 and 1, since normalization is
    the network's own matter. `notes` are sentences for the user."""

    form: Form
    network: nn.Module
    shape: Shape
    logarithm: bool = False
    no_gradients: str = ""
    notes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def fitted(cls, form: Form, images: Images, device: torch.device) -> Self:
        """The network of this form for these images. Raises ForeignError if it does not take them, if its outputs are
        not logits, or if they are for another number of classes."""
        declared, inner = form.declared, form.network(device)
        _check_declared(form, images)
        network = Logits(inner, declared.least, declared.most)
        trial = Trial.of(form.reference, network, images.channels, images.size_px, device)
        if images.num_classes not in (None, trial.classes):
            raise ForeignError(
                f"{form.reference} has {trial.classes} classes, but {images.source} has {images.num_classes}; choose "
                "a model that was trained on this dataset"
            )
        shape = Shape(images.size_px, trial.classes, (0.0,) * images.channels, (1.0,) * images.channels)
        logits = Logits(inner, declared.least, declared.most, trial.probabilities).eval()
        notes = (
            f"{form.reference}: class names are unknown; its output k is taken for class k of {images.source}. Its "
            "training images are unknown too; they should not be among these",
            *([f"{form.reference}: gives probabilities; logits are their logarithms"] if trial.probabilities else []),
        )
        return cls(form, logits, shape, trial.probabilities, trial.no_gradients, notes)

    @property
    def digest(self) -> str:
        return self.form.digest

    @property
    def geometry(self) -> None:
        return None

    @property
    def trained_on(self) -> tuple[str, ...]:
        return ()

    @property
    def suffix(self) -> str:
        return SUFFIX

    def difference(self, card: DatasetCard) -> str:
        if self.shape.channels != card.channels:
            return f"is for images of {self.shape.channels} channels, those of {card.name} have {card.channels}"
        if self.shape.num_classes != card.num_classes:
            return f"has {self.shape.num_classes} classes, but {card.name} has {card.num_classes}"
        return ""

    def write(self, path: Path) -> None:
        """Writes everything that executors need but the code of a factory. Raises CheckpointError."""
        own, state = self.form.packed()
        settings = {
            "kind": KIND, "form": self.form.kind, "reference": self.form.reference, "own": own,
            "shape": vars(self.shape), "logarithm": self.logarithm, "digest": self.digest,
        }  # fmt: skip
        Checkpoint(settings, state).write(path)

    @classmethod
    def read(cls, path: Path, device: torch.device) -> Self:
        """Raises CheckpointError and ForeignError."""
        found = Checkpoint.read(path, torch.device("cpu"), kind=KIND)
        with fitting(path, "this version"):
            settings = found.settings
            shape = Shape.checked(settings["shape"])
            form = FORMS[settings["form"]].unpacked(settings["reference"], settings["own"], found.state)
            declared, logarithm = form.declared, bool(settings["logarithm"])
            network = Logits(form.network(device), declared.least, declared.most, logarithm).eval()
            if form.digest != settings["digest"]:
                raise ForeignError(f"{form.reference}: is another model here than where the job was started")
        return cls(form, network, shape, logarithm)


def _check_declared(form: Form, images: Images) -> None:
    declared = form.declared
    for own, given, unit in (
        (declared.channels, images.channels, "channels"),
        (declared.size_px, images.size_px, "px"),
    ):
        if own not in (None, given):
            raise ForeignError(
                f"{form.reference} is for images of {own} {unit}, those of {images.source} have {given} {unit}"
            )
