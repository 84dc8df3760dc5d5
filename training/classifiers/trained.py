"""A trained classifier as one file: the weights of the network, and everything that is needed to build it."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipelines.datasets.card import DatasetCard
from pipelines.settings import choose, describe
from training.loop.checkpoints import Checkpoint, CheckpointError, check_finite, fitting
from training.models import MODELS, Channels, Model
from training.streams.stream import Batches

__all__ = ["Classifier", "Shape", "check_counts", "checked_about", "weights_digest"]

KIND = "classifier"
LARGEST = 4096
"""The largest number of pixels per side, and of classes."""


@dataclass(frozen=True)
class Shape:
    """What a network is built for: (N, channels, size_px, size_px) in [0, 1] → logits (N, num_classes). `mean` and
    `std` are those of the training images, one number for each channel."""

    size_px: int
    num_classes: int
    mean: Channels
    std: Channels

    @classmethod
    def of(cls, train: Batches) -> "Shape":
        """The shape of a network for these training images, from their card and manifests. If variants are mixed, mean
        and std are those of the mixture: the variance is the mean of the variances plus the variance of the means."""
        manifests = {name: variant.manifest for name, variant in train.source.variants.items()}
        weights = np.array([train.weights[name] for name in manifests])
        statistics = [manifest.statistics["train"] for manifest in manifests.values()]
        means, stds = (np.array([getattr(of, name) for of in statistics]) for name in ("channel_mean", "channel_std"))
        mean = weights @ means
        std = np.sqrt(weights @ (stds**2 + means**2) - mean**2)
        return cls(train.source.size_px, train.source.card.num_classes, tuple(mean.tolist()), tuple(std.tolist()))

    @property
    def channels(self) -> int:
        return len(self.mean)

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> "Shape":
        """The shape from a file. Raises ValueError, TypeError, before anything is built that exceeds the memory of any
        machine."""
        shape = cls(**values)
        check_counts(size_px=shape.size_px, num_classes=shape.num_classes)
        for name in ("mean", "std"):
            channels = getattr(shape, name)
            if len(channels) not in (1, 3) or not all(
                isinstance(one, float) and math.isfinite(one) for one in channels
            ):
                raise ValueError(f"{name} is {channels}, expected one or three finite numbers")
        if len(shape.mean) != len(shape.std):
            raise ValueError(f"mean has {len(shape.mean)} channels and std {len(shape.std)}")
        return shape

    def build(self, model: Model, seed: int) -> nn.Sequential:
        return model.build(self.size_px, self.num_classes, self.mean, self.std, seed)


def check_counts(**counts: object) -> None:
    """Raises ValueError if one is not a valid count for a network."""
    for name, count in counts.items():
        if type(count) is not int or not 0 < count <= LARGEST:
            raise ValueError(f"{name} is {count!r}, expected a whole number from 1 to {LARGEST}")


@dataclass(frozen=True)
class Classifier:
    """`network` is in evaluation mode after reading. `about` describes the training as plain data: settings, digests of
    the datasets, run id."""

    network: nn.Sequential
    model: Model
    shape: Shape
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest of the weights: the same network has the same digest wherever and whenever it was saved."""
        return weights_digest(self.network)

    @property
    def geometry(self) -> str:
        """The geometry of its training images; crop_or_pad if `about` does not contain it."""
        return str(self.about.get("settings", {}).get("data", {}).get("geometry", "crop_or_pad"))

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The splits of its training images."""
        return tuple(self.about.get("settings", {}).get("train_on", ("train",)))

    @property
    def no_gradients(self) -> str:
        return ""

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    @property
    def suffix(self) -> str:
        return ".pt"

    def difference(self, card: DatasetCard) -> str:
        """The reason why the network does not fit images of the data set with this card, without a subject, or ""."""
        own_names = self.about.get("card", {}).get("class_names")
        if self.shape.channels != card.channels:
            return f"is for images of {self.shape.channels} channels, those of {card.name} have {card.channels}"
        if self.shape.num_classes != card.num_classes:
            return f"has {self.shape.num_classes} classes, but {card.name} has {card.num_classes}"
        if own_names is not None and list(own_names) != list(card.class_names):
            return f"was trained on classes of {self.about['card'].get('name')}, which differ from those of {card.name}"
        return ""

    def write(self, path: Path) -> None:
        """Raises CheckpointError."""
        settings = {
            "kind": KIND, "model": describe(self.model), "shape": vars(self.shape), "about": dict(self.about),
            "digest": self.digest,
        }  # fmt: skip
        Checkpoint(settings, {"network": self.network.state_dict()}).write(path)

    @classmethod
    def read(cls, path: Path, device: torch.device) -> "Classifier":
        """Raises CheckpointError if the file is missing, corrupt, or not a classifier of this version."""
        found = Checkpoint.read(path, device, kind=KIND)
        with fitting(path, "this version's network"):
            model = choose(MODELS, found.settings["model"])
            shape = Shape.checked(found.settings["shape"])
            network = shape.build(model, 0)
            network.load_state_dict(found.state["network"])
            classifier = cls(network.to(device).eval(), model, shape, checked_about(found.settings["about"]))
            digest = found.settings["digest"]
        if classifier.digest != digest:
            raise CheckpointError(f"{path}: its weights do not match its digest; the file was changed")
        check_finite(path, network.state_dict())
        return classifier


def checked_about(about: object) -> Mapping[str, Any]:
    """Raises ValueError if it is not valid as `about` of Classifier and TrainedGan."""
    if not isinstance(about, dict):
        raise ValueError("about is not a mapping")
    settings = about.get("settings", {})
    for name, part in (("settings", settings), ("datasets", about.get("datasets", {}))):
        if not isinstance(part, dict):
            raise ValueError(f"about.{name} is not a mapping")
    if not isinstance(settings.get("data", {}), dict):
        raise ValueError("about.settings.data is not a mapping")
    if "card" in about:
        DatasetCard.model_validate(about["card"])
    return about


def weights_digest(network: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of the network's state, in order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu()
        digest.update(f"{name}\0{values.dtype}\0{tuple(values.shape)}\0".encode())
        digest.update(values.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
