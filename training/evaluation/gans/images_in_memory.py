"""Images in memory: those of a split, or generated ones."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from pipelines.store.schema import CLEAN, Split
from training.evaluation.classifiers.predicting import EvaluationError
from training.streams.order import Share, generator
from training.streams.stream import Batch, Data, Epochs, open_stream

__all__ = ["EpochsInMemory", "ImagesInMemory", "read_images"]


class ImagesInMemory(NamedTuple):
    """`pixels` (N, channels, S, S), uint8; `labels` (N,), int64, below `num_classes`; `digest` identifies the dataset
    or generator; `class_names` by label, or empty."""

    pixels: torch.Tensor
    labels: torch.Tensor
    num_classes: int
    digest: str
    class_names: tuple[str, ...] = ()

    def chosen(self, rows: torch.Tensor) -> "ImagesInMemory":
        return self._replace(pixels=self.pixels[rows], labels=self.labels[rows])

    def drawn(self, count: int, random: np.random.Generator) -> "ImagesInMemory":
        """`count` of them in random order; repeated if there are fewer."""
        rounds = -(-count // len(self.labels))
        order = np.concatenate([random.permutation(len(self.labels)) for _ in range(rounds)])
        return self.chosen(torch.from_numpy(order[:count]))


class EpochsInMemory(Epochs):
    """Epochs of images in memory, in a new order each, as a function of (seed, epoch) alone."""

    def __init__(self, held: ImagesInMemory, seed: int, batch_size: int) -> None:
        super().__init__(len(held.labels), seed, Share(0, 1, batch_size))
        self.held = held

    def _epoch(self, epoch: int, start_step: int) -> Iterator[Batch]:
        order = generator(self.seed, epoch).permutation(self.images)
        for step in range(start_step, len(self)):
            rows, valid = self.share.rows(step, self.images)
            chosen = self.held.chosen(torch.from_numpy(order[rows]))
            ids = [str(row) for row in order[rows]]
            yield Batch(ids, chosen.pixels, chosen.labels, torch.from_numpy(valid))


def read_images(data: Data, split: Split) -> ImagesInMemory:
    """All clean images of a split, in order of their ids. Raises StreamError, and EvaluationError if the pixels do not
    have 256 grey levels."""
    stream = open_stream(data.model_copy(update={"mixture": {CLEAN: 1.0}}), split, seed=0, batch_size=512)
    variant = stream.source.variants[CLEAN]
    if variant.pixel_dtype != "uint8":
        raise EvaluationError(f"{variant.folder}: pixels are {variant.pixel_dtype}; generators are compared with uint8")
    batches = list(stream.epoch(0))
    valid = torch.cat([batch.valid for batch in batches])
    ids = np.array([image_id for batch in batches for image_id in batch.image_ids])
    held = ImagesInMemory(
        torch.cat([batch.images.contiguous() for batch in batches])[valid],
        torch.cat([batch.labels for batch in batches])[valid].long(),
        stream.source.card.num_classes,
        variant.manifest.content_digest,
        stream.source.card.class_names,
    )
    return held.chosen(torch.from_numpy(np.argsort(ids[valid.numpy()])))
