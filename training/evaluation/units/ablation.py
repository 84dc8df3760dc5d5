"""The predictions of a network some of whose units are set to 0."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.evaluation.units.load import Load, watched

__all__ = ["counted", "drawn", "predicted_without"]


def predicted_without(
    network: nn.Module, batches: Sequence[torch.Tensor], layer: str, units: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The predicted classes (N,) if these units of the activation `layer` are 0 for every image."""

    def silence(name: str, output: torch.Tensor) -> torch.Tensor | None:
        if name != layer:
            return None
        changed = output.clone()
        changed[:, torch.from_numpy(units).to(output.device)] = 0
        return changed

    with torch.no_grad(), watched(network, silence):
        return np.concatenate([network(images).argmax(1).cpu().numpy() for images in batches])


def counted(load: Load, share: float) -> int:
    """How many units a share of the layer's is, at least one."""
    return max(1, round(share * load.units))


def drawn(load: Load, count: int, seed: int, layer: str, draw: int) -> NDArray[np.int64]:
    """`count` units at random, always the same for the same arguments."""
    digest = hashlib.sha256(f"{seed} {layer} {count} {draw}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little")).choice(load.units, count, replace=False)
