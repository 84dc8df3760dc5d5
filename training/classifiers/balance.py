"""Weights of classes that have different numbers of images."""

from collections.abc import Sequence

import torch

from pipelines.errors import SettingsError
from training.streams.stream import Batches

__all__ = ["class_counts", "class_weights"]


def class_counts(train: Batches) -> list[int]:
    """The number of images of each label of the card, the same in all variants."""
    counts = train.source.counts_per_class(next(iter(train.source.variants)))
    return [counts.get(label, 0) for label in range(train.source.card.num_classes)]


def class_weights(counts: Sequence[int], balance: float) -> torch.Tensor:
    """n^−balance for each class of n images, scaled so that the mean over all images is 1; (classes,). Raises
    SettingsError if a class has no images, since no weight makes up for them."""
    if empty := [label for label, count in enumerate(counts) if not count]:
        raise SettingsError(
            f"class_balance={balance:g}: there are no training images of the classes {empty}; add images of them, or "
            "set class_balance=0"
        )
    of_class = torch.tensor(counts, dtype=torch.float64)
    weights = of_class**-balance
    return (weights * of_class.sum() / (weights @ of_class)).float()
