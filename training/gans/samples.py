"""Samples of the same latents at intervals during the training."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch

from training.gans import GanArchitecture
from training.gans.trained import GanShape, TrainedGan
from training.streams.stream import Batches, to_unit_floats

__all__ = ["FixedSamples", "fixed_samples"]

COLUMNS = 8
ROWS_WITHOUT_CLASSES = 8


class FixedSamples(NamedTuple):
    """`labels` (N,), row by row; a conditional GAN has a row for each class. `images` (N, 3, S, S) in [0, 1] of those
    labels, if the input of the generator is an image. `row_names` are those of the rows in a picture."""

    labels: torch.Tensor
    images: torch.Tensor | None
    seed: int
    columns: int = COLUMNS
    row_names: tuple[str, ...] = ()

    def of(self, trained: TrainedGan) -> torch.Tensor:
        """(N, C, S, S) in [0, 1], on the CPU."""
        return trained.sample(self.labels, torch.Generator().manual_seed(self.seed), self.images).cpu()

    def beside_inputs(self, images: torch.Tensor) -> torch.Tensor:
        """For a picture: if the input of the generator is an image, each row of inputs above the row of results."""
        if self.images is None:
            return images
        rows = zip(torch.split(self.images, self.columns), torch.split(images, self.columns), strict=True)
        return torch.cat([row for pair in rows for row in pair])


def fixed_samples(gan: GanArchitecture, shape: GanShape, train: Batches, seed: int) -> FixedSamples:
    """Images are taken from the start of the first epoch."""
    if gan.conditional:
        labels = [label for label in shape.classes for _ in range(COLUMNS)]
    elif gan.latent.from_images:
        return FixedSamples(*_first(train, ROWS_WITHOUT_CLASSES * COLUMNS), seed)
    else:
        labels = [shape.classes[0]] * (ROWS_WITHOUT_CLASSES * COLUMNS)
    images = _of_classes(train, labels) if gan.latent.from_images else None
    names = [train.source.card.class_names[label] for label in shape.classes] if gan.conditional else []
    if images is not None:
        names = [name for of_results in names for name in ("", of_results)]
    return FixedSamples(torch.tensor(labels), images, seed, COLUMNS, tuple(names))


def _first(train: Batches, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = [], []
    found = 0
    for batch in train.epoch(0):
        images.append(to_unit_floats(batch.images[batch.valid], torch.device("cpu")))
        labels.append(batch.labels[batch.valid].cpu())
        found += len(labels[-1])
        if found >= count:
            break
    return torch.cat(labels)[:count], torch.cat(images)[:count]


def _of_classes(train: Batches, labels: Sequence[int]) -> torch.Tensor:
    """An image of each of `labels`, in this order. If a class has too few images, the last one is repeated; a class
    that this rank does not see gets a black image."""
    left = Counter(labels)
    found: dict[int, list[torch.Tensor]] = {label: [] for label in left}
    for batch in train.epoch(0):
        images = to_unit_floats(batch.images, torch.device("cpu"))
        for image, label in zip(images, batch.labels.tolist(), strict=True):
            if left[label] > 0:
                found[label].append(image.clone())
                left[label] -= 1
        if not any(left.values()):
            break
    black = torch.zeros(3, train.source.size_px, train.source.size_px)
    chosen = []
    for label in labels:
        of_class = found[label] or [black]
        chosen.append(of_class.pop(0) if len(of_class) > 1 else of_class[0])
    return torch.stack(chosen)
