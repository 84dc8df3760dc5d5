"""The mean norm of the training images, which a strength in decibels is a radius by."""

import torch

from training.loop.ranks import Ranks
from training.streams.stream import Batches, to_unit_floats

__all__ = ["mean_norm"]


def mean_norm(train: Batches, ranks: Ranks) -> float:
    """The mean ‖x‖₂ over the training images as stored, scaled to [0, 1], in the variants of the first epoch; the same
    on all ranks. Reads them once."""
    total = torch.zeros(2, dtype=torch.float64, device=ranks.device)
    for batch in train.epoch(0):
        images, valid = to_unit_floats(batch.images, ranks.device), batch.valid.to(ranks.device)
        norms = torch.linalg.vector_norm(images, dim=(1, 2, 3)).double()
        total += torch.stack([(norms * valid).sum(), valid.sum().double()])
    norm_sum, count = ranks.sum(total).tolist()
    return float(norm_sum / count)
