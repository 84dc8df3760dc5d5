"""Images whose prediction changes from right to wrong under a noise."""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.store.schema import Split
from training.evaluation.classifiers.predicting import EvaluationError, Predictions, on_same_images
from training.streams.stream import Data, open_stream

__all__ = ["Flip", "find_flips", "find_kept", "images_by_id"]


class Flip(NamedTuple):
    """An image whose label was predicted before the noise, with `confidence_before`, and `predicted` after it."""

    image_id: str
    label: int
    confidence_before: float
    predicted: int
    confidence: float


def find_flips(before: Predictions, after: Predictions, most: int = 8) -> list[Flip]:
    """Images that are right before and wrong after, at most one of each class: those of the highest confidence before,
    ties broken by image_id. Raises EvaluationError if the two do not have the same images."""
    return _surest(before, after, False, most)


def find_kept(before: Predictions, after: Predictions, most: int = 8) -> list[Flip]:
    """As find_flips, of the images that are still right after."""
    return _surest(before, after, True, most)


def _surest(before: Predictions, after: Predictions, still_right: bool, most: int) -> list[Flip]:
    before, after = on_same_images(before, after)
    chosen = np.flatnonzero(before.right & (after.right == still_right))
    surest = chosen[np.lexsort((before.image_ids[chosen], -before.confidences[chosen]))]
    _, firsts = np.unique(before.labels[surest], return_index=True)
    return [
        Flip(
            str(before.image_ids[row]),
            int(before.labels[row]),
            float(before.confidences[row]),
            int(after.predicted[row]),
            float(after.confidences[row]),
        )
        for row in surest[np.sort(firsts)[:most]]
    ]


def images_by_id(data: Data, split: Split, variant: str, image_ids: Collection[str]) -> dict[str, NDArray[Any]]:
    """(S, S, 3) as stored, by image_id, found by reading the whole variant. Raises StreamError if it cannot be read,
    and EvaluationError if an image is not in it."""
    wanted = set(image_ids)
    found: dict[str, NDArray[Any]] = {}
    if wanted:
        stream = open_stream(data.model_copy(update={"mixture": {variant: 1.0}}), split, seed=0, batch_size=512)
        for batch in stream.epoch(0):
            for place, image_id in enumerate(batch.image_ids):
                if image_id in wanted:
                    found[image_id] = batch.images[place].permute(1, 2, 0).numpy().copy()
    if missing := sorted(wanted - found.keys()):
        raise EvaluationError(f"{variant}: split {split} has no image {missing[0]}")
    return found
