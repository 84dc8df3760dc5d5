"""Untrained generators, and one that returns its input images."""

from pathlib import Path

import torch
from torch import nn

from training.classifiers.trained import Classifier, Shape
from training.gans import GANS
from training.gans.latents import ImageToImage
from training.gans.trained import GanShape, TrainedGan
from training.models.baseline_cnn import BaselineCnn

SIZE_PX = 8
CLASSES = 43


def gan(kind: str = "conditional", seed: int = 0, classes: tuple[int, ...] = tuple(range(CLASSES))) -> TrainedGan:
    """A GAN with its initial weights."""
    settings, shape = GANS[kind](), GanShape(SIZE_PX, CLASSES, classes)
    return TrainedGan(shape.build(settings, seed).generator.eval(), settings, shape)


class Echo(nn.Module):
    """Returns its input plus `offset`."""

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(offset))

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return images + self.offset


def echo(offset: float = 0.0) -> TrainedGan:
    settings = GANS["conditional"](latent=ImageToImage())
    return TrainedGan(Echo(offset), settings, GanShape(SIZE_PX, CLASSES, tuple(range(CLASSES))))


def classifier(size_px: int = SIZE_PX, classes: int = CLASSES, seed: int = 0) -> Classifier:
    shape = Shape(size_px, classes, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
    return Classifier(shape.build(BaselineCnn(), seed).eval(), BaselineCnn(), shape)


def write_models(folder: Path) -> None:
    gan().write(folder / "conditional.pt")
    gan("vanilla", seed=1).write(folder / "vanilla.pt")
    classifier(16).write(folder / "classifier.pt")
