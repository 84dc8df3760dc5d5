"""Weights of classes that have different numbers of images."""

from collections.abc import Sequence

import torch

from pipelines.errors import SettingsError
from training.streams.stream import Batches

__all__ = ["class_counts", "class_weights"]


def class_counts(train: Batches, beside: Batches | None = None) -> list[float]:
    """The number of images of each label of the card in a pass, the same in all variants; with those of `beside`, of
    which each batch has its batch size, on average."""
    own = _counts(train)
    if beside is None:
        return own.tolist()
    other, ratio = _counts(beside), beside.share.batch_size / train.share.batch_size
    return (own + other * ratio * own.sum() / other.sum()).tolist()


def class_weights(counts: Sequence[float], balance: float) -> torch.Tensor:
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


def _counts(batches: Batches) -> torch.Tensor:
    counts = batches.source.counts_per_class(next(iter(batches.source.variants)))
    return torch.tensor([counts.get(label, 0) for label in range(batches.source.card.num_classes)], dtype=torch.float64)
