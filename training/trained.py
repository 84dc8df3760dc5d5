"""A trained classifier as one file: the network's weights, and all that is needed to build the network around them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from pipelines.errors import StreamError
from pipelines.settings import choose, describe
from training.checkpoints import Checkpoint, CheckpointError
from training.data import Batches
from training.models import MODELS, Channels, Model

__all__ = ["Classifier", "Shape", "weights_digest"]

KIND = "classifier"


@dataclass(frozen=True)
class Shape:
    """What a network is built for: (N, 3, size_px, size_px) in [0, 1] → logits (N, num_classes). `mean` and `std` are
    the training images' per channel."""

    size_px: int
    num_classes: int
    mean: Channels
    std: Channels

    @classmethod
    def of(cls, train: Batches) -> "Shape":
        """What a network for these training images is built for, by their manifests. Where variants are mixed, mean
        and std are those of the mixture: the variance is the mean of the variances plus the variance of the means."""
        manifests = {name: variant.manifest for name, variant in train.source.variants.items()}
        counts = [of for manifest in manifests.values() for of in manifest.counts_per_class.values()]
        if not any(counts):
            raise StreamError(f"{train.source.variants[next(iter(manifests))].folder}: its manifest counts no classes")
        weights = np.array([train.weights[name] for name in manifests])
        statistics = [manifest.statistics["train"] for manifest in manifests.values()]
        means, stds = (np.array([getattr(of, name) for of in statistics]) for name in ("channel_mean", "channel_std"))
        mean = weights @ means
        std = np.sqrt(weights @ (stds**2 + means**2) - mean**2)
        return cls(
            train.source.size_px, max(map(max, filter(None, counts))) + 1, tuple(mean.tolist()), tuple(std.tolist())
        )

    def build(self, model: Model, seed: int) -> nn.Sequential:
        return model.build(self.size_px, self.num_classes, self.mean, self.std, seed)


@dataclass(frozen=True)
class Classifier:
    """`network` is in evaluation mode where it has been read. `about` says how it was trained: settings, digests of the
    datasets, run id, as plain data."""

    network: nn.Sequential
    model: Model
    shape: Shape
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of the weights: the same network has the same digest wherever and whenever it was saved."""
        return weights_digest(self.network)

    @property
    def geometry(self) -> str:
        """Of the images that it was trained on; crop_or_pad where `about` does not say."""
        return str(self.about.get("settings", {}).get("data", {}).get("geometry", "crop_or_pad"))

    def write(self, path: Path) -> None:
        """Raises CheckpointError."""
        settings = {
            "kind": KIND, "model": describe(self.model), "shape": vars(self.shape), "about": dict(self.about),
            "digest": self.digest,
        }  # fmt: skip
        Checkpoint(settings, {"network": self.network.state_dict()}).write(path)

    @classmethod
    def read(cls, path: Path, device: torch.device) -> "Classifier":
        """Raises CheckpointError where the file is missing, damaged, or no classifier of this version."""
        found = Checkpoint.read(path, device, kind=KIND)
        try:
            model = choose(MODELS, found.settings["model"])
            shape = Shape(**found.settings["shape"])
            network = shape.build(model, 0)
            network.load_state_dict(found.state["network"])
        except (KeyError, TypeError, ValueError, RuntimeError, ValidationError) as error:
            raise CheckpointError(f"{path}: its weights do not fit this version's network: {error}") from None
        classifier = cls(network.to(device).eval(), model, shape, found.settings["about"])
        if classifier.digest != found.settings["digest"]:
            raise CheckpointError(f"{path}: its weights are not those that its digest promises; the file was changed")
        return classifier


def weights_digest(network: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of the network's state, in order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu()
        digest.update(f"{name}\0{values.dtype}\0{tuple(values.shape)}\0".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()
