"""A trained network that takes images as they are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.console import make_console
from pipelines.errors import SettingsError
from pipelines.geometry import GEOMETRIES, Roi
from pipelines.job.process import tidy_process
from roadsign.pixels import GivenImage, pixels_of
from training.classifiers.any_classifier import AnyClassifier
from training.classifiers.opening import open_models, unlabelled

__all__ = ["Network", "Prediction", "Region", "load"]

Region = tuple[int, int, int, int]
"""x1, y1, x2, y2 of the sign in pixels of the image; x2 and y2 are inside it, as in GTSRB's annotations."""


class Prediction(NamedTuple):
    """`class_name` is the number of the class as text where the network does not know names."""

    class_name: str
    probability: float


class Network:
    """`module`: (N, channels, size_px, size_px) float32 in [0, 1] → logits (N, classes), in evaluation mode."""

    def __init__(self, classifier: AnyClassifier, reference: str, geometry: str | None, device: torch.device) -> None:
        self.classifier = classifier
        self.reference = reference
        self.geometry = geometry or classifier.geometry
        self.device = device

    @property
    def module(self) -> nn.Module:
        return self.classifier.network

    @property
    def size_px(self) -> int:
        return self.classifier.shape.size_px

    @property
    def class_names(self) -> Sequence[str]:
        names = self.classifier.about.get("card", {}).get("class_names")
        return tuple(names or map(str, range(self.classifier.shape.num_classes)))

    def prepare(self, image: GivenImage, region: Region | None = None) -> NDArray[np.uint8]:
        """The image as the network was shown images in its training: (size_px, size_px, channels) by its geometry.
        Raises SettingsError if the geometry needs the sign's region, or is unknown."""
        pixels = pixels_of(image, self.classifier.shape.channels)
        height, width = pixels.shape[:2]
        if self.geometry is None:
            raise SettingsError(
                f"{self.reference} does not say how its training images were made square: give "
                f'load({self.reference!r}, geometry="resize"), or one of {", ".join(GEOMETRIES)}'
            )
        if region is None and self.geometry.endswith("roi_resize"):
            raise SettingsError(
                f"{self.reference} was trained on images of geometry {self.geometry}, which cuts out the sign: give "
                f"region=(x1, y1, x2, y2) in pixels, or region=(0, 0, {width - 1}, {height - 1}) if the image is "
                "nothing but the sign"
            )
        x1, y1, x2, y2 = region or (0, 0, width - 1, height - 1)
        if not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height):
            raise SettingsError(f"region={region}: is not inside the image of {width} × {height} pixels")
        kind = self.geometry.removeprefix("jittered_")  # the jitter stands for an inexact detector, which this is not
        return GEOMETRIES[kind]()(pixels, Roi(x1, y1, x2, y2), self.size_px)

    def probabilities(self, image: GivenImage, region: Region | None = None) -> NDArray[np.float32]:
        """(classes,), in the order of class_names."""
        pixels = torch.from_numpy(self.prepare(image, region)).permute(2, 0, 1)[None]
        with torch.inference_mode():
            logits: torch.Tensor = self.module(pixels.to(torch.float32).div_(255).to(self.device))
        return logits.float().softmax(dim=1)[0].cpu().numpy()

    def predict(self, image: GivenImage, region: Region | None = None) -> Prediction:
        """The most probable class of a file, a Pillow image or a uint8 array of any size. Raises as `prepare`."""
        probabilities = self.probabilities(image, region)
        best = int(probabilities.argmax())
        return Prediction(self.class_names[best], float(probabilities[best]))


def load(reference: str, *, geometry: str | None = None, size_px: int | None = None, device: str = "cpu") -> Network:
    """A network by `latest`, a run id, models:/name@alias, models:/name/version, a file or its s3:// URL (.pt, .pt2,
    .onnx), or <python.path>:<factory>. `geometry` and `size_px` are for those from outside that do not say them. Raises
    RoadsignError; a registered name is looked up at MLFLOW_TRACKING_URI, or else in mlruns/ of the current folder."""
    on = torch.device(device)
    if geometry is not None and geometry not in GEOMETRIES:
        raise SettingsError(f"geometry={geometry}: there are {', '.join(GEOMETRIES)}")
    with tidy_process():  # the copy of a file that is not on this machine
        (opened,) = open_models([reference], on, unlabelled("your images", size_px), make_console(stderr=True))
    return Network(opened.classifier, reference, geometry, on)
