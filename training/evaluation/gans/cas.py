"""The classification accuracy score: the accuracy on real images of a classifier that was trained on generated ones."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, PlainSerializer, PlainValidator

from pipelines.settings import Settings, choose, describe
from training.augmentation.augmentation import Augmentation
from training.classifiers.settings import TrainClassifier
from training.classifiers.trained import Shape
from training.classifiers.training import ClassifierTraining
from training.evaluation.classifiers.metrics import Measurement
from training.evaluation.gans.images_in_memory import EpochsInMemory, ImagesInMemory
from training.evaluation.intervals.proportions import Units
from training.loop.ranks import Ranks
from training.models import MODELS, Channels, Model
from training.streams.stream import Data, to_unit_floats
from training.tracking import Tracking

__all__ = ["Cas"]


def _model(given: object) -> Model:
    return given if isinstance(given, Model) else choose(MODELS, given)


class Cas(Settings):
    """The recipe of the classifier: short and without augmentation, so that the score depends mostly on the images."""

    model: Annotated[Model, PlainValidator(_model), PlainSerializer(describe)]
    epochs: int = Field(default=10, ge=1)
    lr: float = Field(default=0.002, gt=0, allow_inf_nan=False)
    batch_size: int = Field(default=128, ge=1)

    def __call__(
        self, train: ImagesInMemory, test: ImagesInMemory, num_classes: int, seed: int, device: torch.device
    ) -> Measurement:
        """The accuracy on `test` of a classifier trained on `train`, whose labels are the conditions of its images (S.
        Ravuri, O. Vinyals, "Classification accuracy score for conditional generative models", 2019, section 3). Raises
        DivergedError."""
        shape = Shape(int(train.pixels.shape[-1]), num_classes, *_channels(train))
        training = ClassifierTraining(
            self._recipe(shape.size_px, seed), shape, Ranks(device),
            EpochsInMemory(train, seed, self.batch_size), EpochsInMemory(test, seed, 512),
        )  # fmt: skip
        for _ in range(self.epochs):
            for _ in training.steps():
                pass
            training.finish_epoch()
        images = len(test.labels)
        right = np.arange(images) < round(training.metrics["accuracy/validation"] * images)
        return Measurement.of("cas", Units.unknown().proportion(right))

    def _recipe(self, size_px: int, seed: int) -> TrainClassifier:
        """The settings of the training; no files are read or written with them."""
        return TrainClassifier(
            model=self.model, data=Data(root="", size_px=size_px),
            augmentation=Augmentation(rotation_deg=0.0, contrast=0.0, flips="none"),
            epochs=self.epochs, lr=self.lr, schedule="one_cycle", batch_size=self.batch_size, keep="last", seed=seed,
            runs_root=Path(), tracking=Tracking(),
        )  # fmt: skip


def _channels(images: ImagesInMemory) -> tuple[Channels, Channels]:
    """Mean and standard deviation of each channel; a standard deviation of 0 becomes 1."""
    channels = images.pixels.shape[1]
    sums, squares = torch.zeros(2, channels, dtype=torch.float64)
    for pixels in torch.split(images.pixels, 1024):
        values = to_unit_floats(pixels, torch.device("cpu")).double()
        sums += values.sum(dim=(0, 2, 3))
        squares += values.square().sum(dim=(0, 2, 3))
    count = images.pixels.numel() // channels
    mean = sums / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    std[std == 0] = 1
    return tuple(mean.tolist()), tuple(std.tolist())
