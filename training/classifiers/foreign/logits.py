"""Logits of a network that may take only some sizes of batches, or may end in probabilities."""

from typing import Any

import torch
from torch import nn

__all__ = ["Logits"]


class Logits(nn.Module):
    """Batches above `most` are cut; batches below `least` are filled up with copies of their last image, whose outputs
    are dropped. `logarithm`: `inner` gives probabilities, whose logarithms have the same softmax."""

    def __init__(self, inner: nn.Module, least: int = 1, most: int | None = None, logarithm: bool = False) -> None:
        super().__init__()
        self.inner = inner
        self.least = least
        self.most = most
        self.logarithm = logarithm

    def forward(self, images: torch.Tensor) -> Any:
        """(N, C, S, S) → (N, classes)."""
        pieces = torch.split(images, self.most) if self.most and len(images) > self.most else (images,)
        outputs = [self._outputs(piece) for piece in pieces]
        logits = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        return logits.clamp_min(torch.finfo(logits.dtype).tiny).log() if self.logarithm else logits

    def _outputs(self, images: torch.Tensor) -> Any:
        missing = self.least - len(images)
        if missing <= 0 or not len(images):
            return self.inner(images)
        outputs = self.inner(torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]))
        return outputs[: len(images)]
