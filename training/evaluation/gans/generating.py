"""Images for the evaluation of generators: generated from given conditions, and the real ones to compare them with."""

from typing import NamedTuple

import numpy as np
import torch

from pipelines.errors import SettingsError
from pipelines.store.schema import Split
from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.gans.images_in_memory import ImagesInMemory, read_images
from training.gans.trained import TrainedGan
from training.streams.stream import Data, to_unit_floats

__all__ = ["RealSplits", "generate", "uniform_noise"]


class RealSplits(NamedTuple):
    """Real images of one size: those of training, those that generated images are compared with, and those that provide
    labels, or the input of the generator. `class_list` names the classes if some are excluded."""

    train: ImagesInMemory
    test: ImagesInMemory
    conditions: ImagesInMemory
    class_list: str = ""

    @classmethod
    def read(cls, data: Data, split: Split, conditions: Split) -> "RealSplits":
        """Raises StreamError, EvaluationError."""
        wanted: tuple[Split, ...] = ("train", split, conditions)
        found = {name: read_images(data, name) for name in dict.fromkeys(wanted)}
        return cls(found["train"], found[split], found[conditions])

    @property
    def num_classes(self) -> int:
        return self.train.num_classes

    def of_classes(self, classes: tuple[int, ...]) -> "RealSplits":
        """The images of these classes only. Raises EvaluationError if a split has none."""
        chosen = [
            images.chosen(torch.isin(images.labels, torch.tensor(classes)))
            for images in (self.train, self.test, self.conditions)
        ]
        for name, images in zip(self._fields, chosen, strict=False):
            if not len(images.labels):
                raise EvaluationError(f"the {name} images have none of the generator's classes {list(classes)}")
        all_there = len(chosen[0].labels) == len(self.train.labels)
        train, test, conditions = chosen
        return RealSplits(train, test, conditions, "" if all_there else f" of {', '.join(map(str, classes))}")


def generate(
    gan: TrainedGan, name: str, conditions: ImagesInMemory, count: int, seed: int, batch_size: int, device: torch.device
) -> ImagesInMemory:
    """`count` images for the labels, and if the generator takes images as input for the images, of `conditions`, which
    are drawn without replacement and repeated if there are fewer. They are rounded to 256 grey levels, like real ones.
    Raises EvaluationError if an image is not finite, or if the generator raises an error."""
    given = conditions.drawn(count, np.random.default_rng([seed, 0]))
    draw = torch.Generator().manual_seed(seed)
    parts = []
    for start in range(0, count, batch_size):
        rows = slice(start, start + batch_size)
        try:
            images = gan.sample(given.labels[rows], draw, to_unit_floats(given.pixels[rows], device))
        except SettingsError as error:
            raise EvaluationError(f"{name}: {error}") from None
        if not images.isfinite().all():
            raise EvaluationError(
                f"{name}: makes images that are not finite; its training has diverged, train it again"
            )
        parts.append(images.mul(255).round().to(torch.uint8).cpu())
    return ImagesInMemory(torch.cat(parts), given.labels, given.num_classes, gan.digest, given.class_names)


def uniform_noise(like: ImagesInMemory, seed: int) -> ImagesInMemory:
    """Independent values, uniform in 0 … 255, with the same labels."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, like.pixels.shape, generator=draw, dtype=torch.uint8)
    return ImagesInMemory(pixels, like.labels, like.num_classes, f"uniform seed {seed}")
