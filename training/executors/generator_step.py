"""A generator on an executor: from the labels of a row group to images, which a classifier may choose."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.errors import SettingsError
from pipelines.store.image_batches import ChosenDraws, GeneratedImages, SourceImages
from training.executors.task_device import read_network
from training.gans.latents import NoiseImages
from training.gans.trained import TrainedGan

__all__ = ["GeneratorStep", "ShippedChoice", "ShippedGan"]


class ShippedChoice(NamedTuple):
    """A classifier that chooses among draws; `file` is the name of its file among those of the session."""

    file: str
    confidence: float
    tries: int


@dataclass(frozen=True)
class ShippedGan:
    """A generator as plain data on its way to an executor; `file` is the name of its file among those of the
    session."""

    file: str
    variant: str
    seed: int
    batch_size: int
    noise_images: NoiseImages
    choice: ShippedChoice | None = None

    def __call__(self, files: Path, threads: int, gpu: str | None) -> "GeneratorStep":
        """Called on an executor, with `threads` threads on its CPU, where the same generator draws the same images
        everywhere."""
        torch.set_num_threads(threads)
        gan = TrainedGan.read(files / self.file, torch.device("cpu"), self.noise_images)
        network = read_network(files / self.choice.file, torch.device("cpu")) if self.choice else None
        return GeneratorStep(gan, self, network)


class GeneratorStep:
    """Draws `batch_size` images at a time. The draws for a batch are a function of the seed, of its first image's id
    and of how often they were repeated."""

    def __init__(self, gan: TrainedGan, shipped: ShippedGan, network: nn.Module | None) -> None:
        self.gan = gan
        self.shipped = shipped
        self.network = network

    def __call__(self, source: SourceImages) -> list[GeneratedImages]:
        """The images for the labels of these. Raises SettingsError if one is not finite."""
        made = np.empty(source.pixels.shape, np.uint8)
        images, size = len(source.labels), self.shipped.batch_size
        draws, confident = np.ones(images, np.int32), np.zeros(images, np.bool_)
        for start in range(0, images, size):
            rows = np.arange(start, min(start + size, images))
            made[rows] = self._drawn(source, rows, 0)
            if self.network is not None:
                draws[rows], confident[rows] = self._choose(source, rows, made)
        chosen = None if self.network is None else ChosenDraws(draws, confident)
        return [GeneratedImages(self.shipped.variant, made, chosen)]

    def _choose(
        self, source: SourceImages, rows: NDArray[np.intp], made: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Draws the images of a batch again until the classifier is confident of them, and puts its choice into
        `made`; returns the number of draws of each, and whether it is confident."""
        assert self.shipped.choice is not None
        best = self._probabilities(made[rows], source.labels[rows])
        draws = np.ones(len(rows), np.int32)
        for repeat in range(1, self.shipped.choice.tries):
            again = np.flatnonzero(best < self.shipped.choice.confidence)
            if not len(again):
                break
            drawn = self._drawn(source, rows[again], repeat)
            draws[again] += 1
            probabilities = self._probabilities(drawn, source.labels[rows[again]])
            better = probabilities > best[again]
            made[rows[again[better]]] = drawn[better]
            best[again] = np.maximum(best[again], probabilities)
        return draws, best >= self.shipped.choice.confidence

    def _drawn(self, source: SourceImages, rows: NDArray[np.intp], repeat: int) -> NDArray[np.uint8]:
        """(rows, S, S, channels): draw number `repeat` for these rows, which belong to one batch."""
        again = f"\0{repeat}" if repeat else ""
        first = source.image_ids[rows[0] // self.shipped.batch_size * self.shipped.batch_size]
        digest = hashlib.sha256(f"{self.shipped.seed}\0{first}{again}".encode()).digest()
        draw = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))
        images = _unit_range(source.pixels[rows])
        made = self.gan.sample(torch.tensor(source.labels[rows], dtype=torch.int64), draw, images)
        if not made.isfinite().all():
            raise SettingsError("the generator makes images that are not finite; train it again")
        stored: NDArray[np.uint8] = made.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        return stored

    def _probabilities(self, pixels: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.float32]:
        """What the classifier gives the labels of images as they are stored."""
        assert self.network is not None
        with torch.inference_mode():
            logits = self.network(_unit_range(pixels)).float()
        of_labels = logits.softmax(1).gather(1, torch.tensor(labels, dtype=torch.int64)[:, None])[:, 0]
        probabilities: NDArray[np.float32] = of_labels.numpy()
        if not np.isfinite(probabilities).all():
            raise SettingsError("choose.classifier gives logits that are not finite; train it again, with a smaller lr")
        return probabilities


def _unit_range(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32).div_(255)
