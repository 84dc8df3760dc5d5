"""Images that generators are judged by: what one makes of given conditions, and what it is compared with."""

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
    """Real images of one size: those of training, those that generated images are compared with, and those whose
    labels, or which themselves, the generator begins with. `class_list` names the classes where some are left out."""

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
        """Those of these classes alone. Raises EvaluationError where a split has none."""
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
    """`count` images under the labels, and where the generator takes them from the images, of `conditions`, which are
    drawn without replacement, all over again where there are fewer. They are rounded to 256 grey levels, as real ones
    are. Raises EvaluationError where an image is not finite, or where the generator refuses."""
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
    return ImagesInMemory(torch.cat(parts), given.labels, given.num_classes, gan.digest)


def uniform_noise(like: ImagesInMemory, seed: int) -> ImagesInMemory:
    """Values independent and uniform in 0 … 255, under the same labels."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, like.pixels.shape, generator=draw, dtype=torch.uint8)
    return ImagesInMemory(pixels, like.labels, like.num_classes, f"uniform seed {seed}")
