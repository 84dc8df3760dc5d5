"""Networks whose features images are compared by: a classifier of ours, or Inception.

Both sets of images go the same way: as uint8, in which real images are stored; to the network's size by bilinear
interpolation, with antialiasing where they become smaller."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import interpolate

from training.classifiers.trained import Classifier
from training.evaluation.classifiers.predicting import EvaluationError
from training.streams.stream import to_unit_floats

__all__ = ["ClassifierFeatures", "Extractor", "Features", "resized"]


class Features(NamedTuple):
    """Of N images: `values` (N, d), which the last layer's inputs are, and `probabilities` (N, classes), float32."""

    values: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    @property
    def predicted(self) -> NDArray[np.int64]:
        predicted: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return predicted


class Extractor(ABC):
    """`suffix` goes to the names of metrics, so that a distance in our features is never taken for FID; `name` and
    `digest` say which network it is."""

    suffix: str
    name: str
    digest: str
    normalized: bool
    """Whether features are measured in units of the real ones' root mean square, as where their scale is arbitrary."""

    @property
    def label(self) -> str:
        return f"{self.name} {self.digest[:12]}"

    def __call__(self, images: torch.Tensor, batch_size: int = 512) -> Features:
        """Of images (N, 3, S, S), uint8. Raises EvaluationError where features are not finite."""
        with torch.inference_mode():
            parts = [self._features(batch) for batch in torch.split(images, batch_size)]
        values, logits = (torch.cat(kind).float().cpu() for kind in zip(*parts, strict=True))
        if not (values.isfinite().all() and logits.isfinite().all()):
            raise EvaluationError(f"{self.name} gives features that are not finite; its weights are not usable")
        return Features(values.numpy(), logits.softmax(dim=1).numpy())

    @abstractmethod
    def _features(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features and logits of a batch, uint8."""


class ClassifierFeatures(Extractor):
    """What goes into the last linear layer of a classifier of ours, under metrics' names with _gtsrb."""

    suffix = "_gtsrb"
    normalized = True

    def __init__(self, classifier: Classifier, name: str, device: torch.device) -> None:
        """Raises EvaluationError where the network has no linear layer that gives its classes."""
        self.name = name
        self.digest = classifier.digest
        self.classifier = classifier
        self.device = device
        self._network = classifier.network.to(device).eval()
        self._last = _last_layer(classifier, name)

    def _features(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        given: list[torch.Tensor] = []

        def keep(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            given.append(inputs[0].flatten(1))

        hook = self._last.register_forward_pre_hook(keep)
        try:
            logits = self._network(resized(to_unit_floats(images, self.device), self.classifier.shape.size_px))
        finally:
            hook.remove()
        return given[-1], logits


def resized(images: torch.Tensor, size_px: int) -> torch.Tensor:
    """(N, 3, S, S) floats at another size, bilinear; antialiased where they become smaller."""
    if images.shape[-1] == size_px:
        return images
    return interpolate(images, (size_px, size_px), mode="bilinear", align_corners=False, antialias=True)


def _last_layer(classifier: Classifier, name: str) -> nn.Module:
    classes = classifier.shape.num_classes
    layers = [
        layer
        for layer in classifier.network.modules()
        if isinstance(layer, nn.Linear) and layer.out_features == classes
    ]
    if not layers:
        raise EvaluationError(f"{name}: has no linear layer of {classes} classes whose inputs could be its features")
    return layers[-1]
