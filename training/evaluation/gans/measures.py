"""All metrics of one set of generated images compared with the real ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from pipelines.settings import Settings
from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.gans.cas import Cas
from training.evaluation.gans.collapse import class_entropy, classes_missed, nearer_to_training, smallest_difference
from training.evaluation.gans.distributions import (
    Floats,
    Spread,
    agreement,
    frechet_distance,
    inception_score,
    kernel_distance,
    nearest,
)
from training.evaluation.gans.features import Extractor, Features
from training.evaluation.gans.images_in_memory import ImagesInMemory
from training.evaluation.gans.table import Score
from training.evaluation.intervals.proportions import Units

__all__ = ["ImageSet", "Measures", "Neighbours", "RealImages", "describe_images"]

LOOKED_AT = 4
"""The number of neighbours by features whose pixels are compared."""
NO_LABELS = "the generator is not conditional, so its images have no labels"


class ImageSet(NamedTuple):
    """Images, and the features from all extractors; the first extractor is a classifier of this project, which is used
    to find neighbours."""

    images: ImagesInMemory
    features: Sequence[Features]

    @property
    def pixels(self) -> NDArray[np.uint8]:
        pixels: NDArray[np.uint8] = self.images.pixels.numpy()
        return pixels


class Neighbours(NamedTuple):
    """Neighbours of N images by the first extractor's features: `distances` and `rows` (N, k) of the nearest images of
    another set, and `differences` (N,) from the most similar of them."""

    distances: Floats
    rows: NDArray[np.int64]
    differences: Floats

    @classmethod
    def of(cls, images: ImageSet, others: ImageSet | None) -> "Neighbours":
        """If `others` is None, among the images themselves."""
        values = None if others is None else others.features[0].values
        distances, rows = nearest(images.features[0].values, values, LOOKED_AT)
        return cls(distances, rows, smallest_difference(images.pixels, (others or images).pixels, rows))


@dataclass(frozen=True)
class RealImages:
    """The images that the generators were trained on, and test images, which generated ones should resemble; labels are
    below `num_classes`."""

    train: ImageSet
    test: ImageSet
    extractors: Sequence[Extractor]
    num_classes: int

    @cached_property
    def test_to_train(self) -> Floats:
        """The distance of each test image to the nearest training image by the first extractor's features."""
        return nearest(self.test.features[0].values, self.train.features[0].values, 1)[0][:, 0]


class Measures(Settings):
    """The settings of the measurement. `neighbours` is k of precision, recall, density and coverage; a class is missed
    if it occurs less than `least_of_class` times as often as among real images; two images are the same if they differ
    by at most `same`, relative to their contrast; `cas` null omits that score."""

    neighbours: int = Field(default=3, ge=1)
    kid_subsets: int = Field(default=100, ge=1)
    kid_subset_size: int = Field(default=1000, ge=2)
    inception_splits: int = Field(default=10, ge=1)
    least_of_class: float = Field(default=0.1, gt=0, le=1)
    same: float = Field(default=0.1, ge=0, lt=1)
    cas: Cas | None = None

    def __call__(
        self, made: ImageSet, training: Neighbours, real: RealImages, conditional: bool, seed: int, device: torch.device
    ) -> Iterator[Score]:
        """`training` are the neighbours of the generated images among the training images; `conditional` is whether
        their labels are their conditions. Raises EvaluationError, DivergedError."""
        for extractor, features, features_real in zip(real.extractors, made.features, real.test.features, strict=True):
            yield from self._of_features(extractor, features, features_real, seed)
        yield from self._of_classes(made, real, conditional)
        yield from self._of_neighbours(made, training, real)
        if self.cas:
            yield self._cas(self.cas, made.images, real, conditional, seed, device)

    def _of_features(self, extractor: Extractor, made: Features, real: Features, seed: int) -> Iterator[Score]:
        unit = np.sqrt(np.square(real.values, dtype=np.float64).mean()) if extractor.normalized else 1.0
        values, values_real = made.values / unit, real.values / unit
        distances: Mapping[str, Callable[[], float | Spread]] = {
            extractor.distance: lambda: frechet_distance(values, values_real),
            "kid": lambda: kernel_distance(
                values, values_real, np.random.default_rng([seed, 0]), self.kid_subsets, self.kid_subset_size
            ),
            "inception_score": lambda: inception_score(
                made.probabilities, np.random.default_rng([seed, 1]), self.inception_splits
            ),
        }
        n, n_real = len(values), len(values_real)
        for name, compute in distances.items():
            metric, against = name + extractor.suffix, None if name == "inception_score" else n_real
            try:
                found = compute()
            except EvaluationError as error:
                yield Score(metric, None, n, against, extractor.label, note=str(error))
                continue
            if isinstance(found, Spread):
                note = f"subsets of {found.size}" if against else f"splits of {found.size}"
                yield Score(metric, found.mean, n, against, extractor.label, found.sd, note=note)
            else:
                yield Score(metric, found, n, against, extractor.label)
        shares = agreement(values, values_real, self.neighbours)
        for name, share in shares._asdict().items():
            yield Score(name + extractor.suffix, share, n, n_real, extractor.label)

    def _of_classes(self, made: ImageSet, real: RealImages, conditional: bool) -> Iterator[Score]:
        classifier, predicted = real.extractors[0].label, made.features[0].predicted
        labels, labels_real = (images.labels.numpy() for images in (made.images, real.test.images))
        missed = classes_missed(predicted, labels_real, self.least_of_class)
        n, n_real, there = len(labels), len(labels_real), len(np.unique(labels_real))
        note = f"hardly any of classes {', '.join(map(str, missed))}" if missed else None
        yield Score("classes_covered", 1 - len(missed) / there, n, n_real, classifier, note=note)
        yield Score("class_entropy", class_entropy(predicted), n, None, classifier)
        if conditional:
            right = Units("image").proportion(predicted == labels)
            yield Score(
                "label_accuracy", right.value, n, None, classifier, low=right.low, high=right.high, unit=right.unit
            )
        else:
            yield Score("label_accuracy", None, n, None, classifier, note=NO_LABELS)

    def _of_neighbours(self, made: ImageSet, training: Neighbours, real: RealImages) -> Iterator[Score]:
        classifier, among = real.extractors[0].label, Neighbours.of(made, None)
        n, n_train = len(among.differences), len(real.train.images.labels)
        nearer = nearer_to_training(training.distances[:, 0], real.test_to_train)
        yield Score("duplicates", float((among.differences <= self.same).mean()), n, None, classifier)
        yield Score("copied", float((training.differences <= self.same).mean()), n, n_train, classifier)
        yield Score("nearer_to_training", nearer, n, n_train, classifier)

    def _cas(
        self, cas: Cas, made: ImagesInMemory, real: RealImages, conditional: bool, seed: int, device: torch.device
    ) -> Score:
        if not conditional:
            return Score("cas", None, len(made.labels), note=NO_LABELS)
        test = real.test.images
        found = cas(made, test, real.num_classes, seed, device)
        return Score(
            "cas", found.value, len(made.labels), len(test.labels), low=found.low, high=found.high, unit=found.unit
        )


def describe_images(images: ImagesInMemory, extractors: Sequence[Extractor], batch_size: int) -> ImageSet:
    """Raises EvaluationError."""
    return ImageSet(images, [extractor(images.pixels, batch_size) for extractor in extractors])
