"""Figures of generated images: some of each class, and those nearest to training images."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from training.evaluation.classifiers.figures import save, show
from training.evaluation.gans.images_in_memory import ImagesInMemory
from training.evaluation.gans.measures import ImageSet, Neighbours
from training.gans.figures import draw_grid
from training.streams.stream import to_unit_floats

__all__ = ["draw_nearest", "draw_samples"]

COLUMNS = 10
SHOWN = 8
INK = "0.2"


def draw_samples(images: ImagesInMemory, name: str, by_class: bool, path: Path) -> Path:
    """The first images: a row for each class, with its name, or ten rows if they have no labels. Raises
    EvaluationError."""
    rows, names = torch.arange(min(COLUMNS * COLUMNS, len(images.labels))), []
    if by_class:
        labels = torch.unique(images.labels).tolist()
        rows = torch.cat([_first_of(images.labels, label) for label in labels])
        names = [images.class_names[label] if images.class_names else str(label) for label in labels]
    caption = f"{name}: the first images of {'each class' if by_class else 'all'}"
    shown = to_unit_floats(images.pixels[rows], torch.device("cpu"))
    return draw_grid(shown, COLUMNS, path, caption, names)


def draw_nearest(images: ImageSet, train: ImageSet, found: Neighbours, name: str, path: Path) -> Path:
    """The images nearest to training images, by the difference of their values relative to their contrast, each next to
    its nearest training images by features. Raises EvaluationError."""
    chosen = np.argsort(found.differences, kind="stable")[:SHOWN]
    columns = found.rows.shape[1] + 1
    figure = Figure(figsize=(1.7 * columns, 1.9 * len(chosen) + 0.6), layout="constrained")
    figure.suptitle(
        f"{name}: the {len(chosen)} of {len(found.differences):,} images nearest to training images", fontsize=10
    )
    axes = figure.subplots(len(chosen), columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for row, number in zip(axes, chosen, strict=True):
        show(
            row[0],
            images.pixels[number].transpose(1, 2, 0),
            f"generated\ndiffers by {found.differences[number]:.2f}",
            INK,
        )
        for axis, neighbour, distance in zip(row[1:], found.rows[number], found.distances[number], strict=True):
            show(axis, train.pixels[neighbour].transpose(1, 2, 0), f"distance {distance:.2f}", INK)
    return save(figure, path)


def _first_of(labels: torch.Tensor, label: int) -> torch.Tensor:
    """Ten rows of this label; repeated if there are fewer."""
    found = torch.nonzero(labels == label)[:, 0]
    return found[torch.arange(COLUMNS) % len(found)]
