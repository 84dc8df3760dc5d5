"""Under which conditions objects were photographed: how large they are in their images, and how bright."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.store.schema import Split
from training.evaluation.classifiers.predicting import EvaluationError
from training.streams.stream import Data, open_stream, to_unit_floats

__all__ = ["Bins", "Conditions", "brightness_bins", "measure_conditions", "side_bins", "visible_part"]

PADDED = "crop_or_pad"
"""The geometry whose padding shows how large the image was; others have made all images one size."""
DARK, BRIGHT = 64.0, 128.0
BATCH = 512


class Bins(NamedTuple):
    """`numbers` (N,): the bin of each image, an index of `names`."""

    names: Sequence[str]
    numbers: NDArray[np.int64]


class Conditions(NamedTuple):
    """Of N images in order of their ids: `sides` (N,), the longer side in px of what is not padding, `brightness` (N,),
    the mean of its pixels and channels on the scale of 255. `padded` is whether sides say anything."""

    sides: NDArray[np.int64]
    brightness: NDArray[np.float64]
    size_px: int
    padded: bool


def visible_part(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, channels, S, S) in [0, 1] → height and width (N,) of the smallest frame around all pixels that are not black;
    0 for a black image."""
    seen = (images > 0).any(dim=1)
    return _extent(seen.any(dim=2)), _extent(seen.any(dim=1))


def measure_conditions(data: Data, split: Split, variant: str, image_ids: NDArray[np.str_]) -> Conditions:
    """`image_ids`: those of the predictions, in order. Raises StreamError, and EvaluationError if the images are other
    ones by now."""
    stream = open_stream(data.model_copy(update={"mixture": {variant: 1.0}}), split, seed=0, batch_size=BATCH)
    found: list[str] = []
    sides, brightness = [], []
    for batch in stream.epoch(0):
        found += [image_id for image_id, valid in zip(batch.image_ids, batch.valid, strict=True) if valid]
        images = to_unit_floats(batch.images[batch.valid], torch.device("cpu"))
        height, width = visible_part(images)
        area = (height * width).clamp(min=1) * images.shape[1]
        sides.append(torch.maximum(height, width))
        brightness.append(255 * images.double().sum(dim=(1, 2, 3)) / area)
    order = np.argsort(np.array(found))
    if not np.array_equal(np.array(found)[order], image_ids):
        raise EvaluationError(f"{data.root}, {variant}: has other images than were evaluated; make the report again")
    return Conditions(
        torch.cat(sides).numpy()[order], torch.cat(brightness).numpy()[order], data.size_px, data.geometry == PADDED
    )


def side_bins(conditions: Conditions) -> Bins:
    """By how much of the stored image an object's photograph fills: up to three quarters of its side, less than all of
    it, or all; one bin if the geometry does not tell."""
    if not conditions.padded:
        return Bins([""], np.zeros(len(conditions.sides), np.int64))
    size, edge = conditions.size_px, 3 * conditions.size_px // 4
    names = [f"up to {edge} px", f"{edge + 1} – {size - 1} px", f"{size} px or more"]
    return Bins(names, np.digitize(conditions.sides, [edge + 1, size]).astype(np.int64))


def brightness_bins(conditions: Conditions) -> Bins:
    names = [f"dark (below {DARK:g})", f"medium ({DARK:g} – {BRIGHT:g})", f"bright ({BRIGHT:g} or more)"]
    return Bins(names, np.digitize(conditions.brightness, [DARK, BRIGHT]).astype(np.int64))


def _extent(there: torch.Tensor) -> torch.Tensor:
    """(N, S) → from the first true entry to the last one, inclusive."""
    first = there.int().argmax(dim=1)
    last = there.shape[1] - there.flip(1).int().argmax(dim=1)
    return torch.where(there.any(dim=1), last - first, 0)
