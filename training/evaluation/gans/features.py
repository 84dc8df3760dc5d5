"""Networks whose features are used to compare images: a classifier of this project, or one of ImageNet.

Both sets of images are processed in the same way: as uint8, in which real images are stored; resized to the network's
size by bilinear interpolation, with antialiasing when downscaling."""

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
    """The features of N images: `values` (N, d), the inputs of the last layer, and `probabilities` (N, classes),
    float32."""

    values: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    @property
    def predicted(self) -> NDArray[np.int64]:
        predicted: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return predicted


class Extractor(ABC):
    """`suffix` is appended to the names of metrics, so that a distance in the features of another network is not
    mistaken for FID; `name` and `digest` identify the network."""

    suffix: str
    distance: str = "fid"
    """The name of the Fréchet distance, before the suffix."""
    name: str
    digest: str
    normalized: bool
    """Whether features are divided by the root mean square of the real ones, because their scale is arbitrary."""

    @property
    def label(self) -> str:
        return f"{self.name} {self.digest[:12]}"

    def __call__(self, images: torch.Tensor, batch_size: int = 512) -> Features:
        """The features of images (N, 3, S, S), uint8. Raises EvaluationError if features are not finite."""
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
    """The inputs of the last linear layer of a classifier; the metrics get the suffix _task."""

    suffix = "_task"
    normalized = True

    def __init__(self, classifier: Classifier, name: str, device: torch.device) -> None:
        """Raises EvaluationError if the network does not end in a linear layer with one output per class."""
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
    """(N, 3, S, S) floats at another size, bilinear; with antialiasing when downscaling."""
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
