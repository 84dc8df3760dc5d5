"""The clean training images of a dataset, and a sample of them for the measurement of drift."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.datasets import SourceImage
from pipelines.errors import RoadsignError
from pipelines.store.schema import CLEAN
from training.classifiers.trained import Classifier
from training.evaluation.gans.features import ClassifierFeatures
from training.retraining.drift.measures import Floats, Images, one_of_each
from training.streams.open_split import OpenSplit, open_split
from training.streams.order import Integers, Slot
from training.streams.row_groups import Rows, read_row_groups
from training.streams.stream import Data

__all__ = ["ProfileError", "Sign", "TrainingImages", "open_training_images", "signs_of"]

DIGEST_BYTES = 8
BRIGHTEST_GREY = 255


class ProfileError(RoadsignError):
    """A profile is corrupt or is of another model, or images cannot be described for a model."""


class Sign(NamedTuple):
    """Facts from the source of an image: the group that it belongs to (its own id if there is none), and its longer
    side before any geometry, or 0 if the source has no annotation."""

    track: str
    size_px: int


def signs_of(images: Iterable[SourceImage]) -> dict[str, Sign]:
    """By image_id, of a listing's images."""
    return {image.image_id: Sign(image.unit, max(image.width_px or 0, image.height_px or 0)) for image in images}


@dataclass(frozen=True)
class TrainingImages:
    """N images in order of their ids: `image_ids`, `tracks`, text; `labels`, `sizes_px`, integers; `digests` of id,
    label and pixels, which distinguish an image from another one that has replaced it; (N,) each."""

    data: Data
    source: OpenSplit
    image_ids: NDArray[np.str_]
    tracks: NDArray[np.str_]
    labels: NDArray[np.int64]
    sizes_px: NDArray[np.int64]
    digests: NDArray[np.uint64]

    @classmethod
    def read(cls, data: Data, source: OpenSplit, signs: Mapping[str, Sign]) -> "TrainingImages":
        """Reads all images once. Raises StreamError, and ProfileError if an image is not among `signs`."""
        rows = sorted(
            (image_id, int(label), _digest(image_id, label, image))
            for group in _read(data, source)
            for image_id, label, image in zip(*group, strict=True)
        )
        image_ids, labels, digests = zip(*rows, strict=True)
        tracks, sizes_px = zip(*(_sign(image_id, signs, data) for image_id in image_ids), strict=True)
        return cls(
            data,
            source,
            np.array(image_ids),
            np.array(tracks),
            np.array(labels),
            np.array(sizes_px),
            np.array(digests, np.uint64),
        )

    def one_of_each_track(self, among: Integers, at_most: int, random: np.random.Generator) -> Integers:
        """Rows in ascending order."""
        return np.sort(among[one_of_each(self.tracks[among], at_most, random)])

    def describe(self, rows: Integers, classifier: Classifier, device: torch.device) -> Images:
        """The images in the given ascending rows, with the inputs of the classifier's last layer as features. Reads all
        images once. Raises StreamError, and EvaluationError if the classifier has no features."""
        pixels = self._pixels(rows)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        features = ClassifierFeatures(classifier, "champion", device)(images).values
        return Images(self.tracks[rows], self.labels[rows], self.sizes_px[rows], _channels(pixels), features)

    def _pixels(self, rows: Integers) -> NDArray[Any]:
        """(N, S, S, channels)."""
        wanted = {image_id: place for place, image_id in enumerate(self.image_ids[rows].tolist())}
        pixels = np.empty((len(rows), *self.source.image_shape), self.source.pixel_dtype)
        for read in _read(self.data, self.source):
            for image_id, image in zip(read.image_ids, read.images, strict=True):
                if image_id in wanted:
                    pixels[wanted[image_id]] = image
        return pixels


def open_training_images(data: Data) -> OpenSplit:
    """The clean training images, whatever the mixture of `data` is. Raises StreamError."""
    return open_split(data.root, data.geometry, data.size_px, [CLEAN], "train", data.verify)


def _read(data: Data, source: OpenSplit) -> Iterator[Rows]:
    slots = [Slot(CLEAN, number) for number in range(len(source.rows))]
    with closing(read_row_groups(source, slots, data.pool, data.workers, data.workers)) as row_groups:
        yield from row_groups


def _digest(image_id: str, label: np.int64, image: NDArray[Any]) -> int:
    digest = blake2b(f"{image_id}\0{label}\0".encode(), digest_size=DIGEST_BYTES)
    digest.update(image.data)
    return int.from_bytes(digest.digest(), "big")


def _sign(image_id: str, signs: Mapping[str, Sign], data: Data) -> Sign:
    if image_id not in signs:
        raise ProfileError(
            f"{data.root}: was made from another source, which has {image_id}; set dataset.root to that source, or "
            "make the dataset again"
        )
    return signs[image_id]


def _channels(pixels: NDArray[Any]) -> Floats:
    """(N, 2 · channels): the mean of each channel in [0, 1], and the standard deviation of each."""
    scale = BRIGHTEST_GREY if pixels.dtype.kind == "u" else 1
    values = [[*image.mean(axis=(0, 1)), *image.std(axis=(0, 1))] for image in pixels]
    return np.array(values, np.float32) / scale
