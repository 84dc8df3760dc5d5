"""Distances and slopes of the images of a split."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from training.attacks.balls import norms
from training.attacks.gradients import fooled
from training.attacks.labelled_images import LabelledImages
from training.classifiers.any_classifier import AnyClassifier
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.stability.settings import Stability
from training.evaluation.stability.slopes import measure_slopes
from training.streams.stream import to_unit_floats

__all__ = ["Measured", "examples_of", "measure"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    """Columns (N,) in the order of `found`. `norm` is ‖x‖₂, `distance` ‖r‖₂ of DeepFool's perturbation r with its
    overshoot, NaN where there is none: of images that are `wrong` already, and of those whose prediction DeepFool
    `kept`; `becomes` is the class after it. The others are those of Slopes."""

    found: Predictions
    norm: Floats
    distance: Floats
    becomes: NDArray[np.int64]
    margin: Floats
    slope: Floats
    slope_in_ball: Floats
    first_order: Floats

    @property
    def wrong(self) -> Bools:
        return np.not_equal(self.found.predicted, self.found.labels)

    @property
    def moved(self) -> Bools:
        return ~np.isnan(self.distance)

    @property
    def kept(self) -> Bools:
        return np.logical_and(self.found.right, np.isnan(self.distance))

    @property
    def black(self) -> Bools:
        return np.equal(self.norm, 0)

    @property
    def relative(self) -> Floats:
        """‖r‖ / ‖x‖, the slides' measure of Moosavi-Dezfooli et al.; NaN for a black image."""
        return self.distance / np.where(self.black, np.nan, self.norm)

    @property
    def snr_db(self) -> Floats:
        """20 log₁₀(‖x‖ / ‖r‖)."""
        ratios: Floats = -20 * np.log10(self.relative)
        return ratios


def measure(
    settings: Stability, classifier: AnyClassifier, found: Predictions, images: Mapping[str, NDArray[np.generic]],
    device: torch.device,
) -> Measured:  # fmt: skip
    """`images` (S, S, C) as stored, by image_id. Raises AttackError."""
    network = classifier.network
    parts: list[tuple[torch.Tensor, ...]] = []
    for start in range(0, len(found.labels), settings.batch_size):
        rows = list(range(start, min(start + settings.batch_size, len(found.labels))))
        examples = replace(examples_of(found, images, rows, device), seed=settings.seed)
        attacked = settings.deepfool(network, examples).images
        with torch.no_grad():
            after = network(attacked)
        distance = norms(attacked - examples.images, "l2").double()
        distance[~fooled(after, examples.labels) | (distance == 0)] = torch.nan  # kept, or wrong already
        slopes = measure_slopes(network, examples, settings.ball)
        parts.append((norms(examples.images, "l2").double(), distance, after.argmax(1), *slopes, slopes.first_order))
    return Measured(found, *(torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)))


def examples_of(
    found: Predictions, images: Mapping[str, NDArray[np.generic]], rows: list[int], device: torch.device
) -> LabelledImages:
    """The images of these rows, with their labels."""
    ids = [str(found.image_ids[row]) for row in rows]
    stored = torch.from_numpy(np.stack([images[image_id] for image_id in ids])).permute(0, 3, 1, 2)
    labels = torch.from_numpy(found.labels[rows]).to(device)
    return LabelledImages(to_unit_floats(stored, device), labels, ids)
