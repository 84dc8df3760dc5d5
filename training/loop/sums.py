"""Named sums over the steps of an epoch, kept on the device until they are needed."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from training.loop.ranks import Ranks

__all__ = ["NamedSums", "NotFiniteError", "StepSums"]

StepSums = Mapping[str, tuple[torch.Tensor, int]]
"""What one step adds, by name: a sum (), and the number of items that it sums over."""


class NotFiniteError(ArithmeticError):
    """The sum `name` of the step on the images `image_ids` is NaN or infinite."""

    def __init__(self, name: str, value: float, image_ids: Sequence[str]) -> None:
        super().__init__(f"{name} is {value}")
        self.name = name
        self.value = value
        self.image_ids = image_ids


class NamedSums:
    """The sums of this rank, under the names `names`, which are the same on all ranks."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._totals = self._zeros()
        self._waiting: list[tuple[Sequence[str], StepSums]] = []

    @property
    def waiting(self) -> int:
        """Steps since the last check."""
        return len(self._waiting)

    def add(self, image_ids: Sequence[str], sums: StepSums) -> None:
        self._waiting.append((image_ids, sums))

    def check(self) -> dict[str, float]:
        """The means since the last check, for the sums that were added to. Waits for the device. Raises
        NotFiniteError."""
        if not self._waiting:
            return {}
        values = iter(torch.stack([value.float() for _, sums in self._waiting for value, _ in sums.values()]).tolist())
        latest = self._zeros()
        for image_ids, sums in self._waiting:
            for name, (_, count) in sums.items():
                value = next(values)
                if not math.isfinite(value):
                    raise NotFiniteError(name, value, image_ids)
                place = self.names.index(name)
                latest[:, place] += value, count
                self._totals[:, place] += value, count
        self._waiting.clear()
        return {
            name: total / count for name, (total, count) in zip(self.names, latest.T.tolist(), strict=True) if count
        }

    def means(self, ranks: Ranks) -> dict[str, float]:
        """The means over all ranks and the whole epoch; 0 if nothing was added."""
        totals, counts = self.over_ranks(ranks).numpy()
        return dict(zip(self.names, (totals / np.maximum(counts, 1)).tolist(), strict=True))

    def over_ranks(self, ranks: Ranks) -> torch.Tensor:
        """(2, names): sums and counts of all ranks, on the CPU."""
        return ranks.sum(torch.from_numpy(self._totals).to(ranks.device)).cpu()

    def restore(self, totals: torch.Tensor, ranks: Ranks) -> None:
        """Makes the result of over_ranks the sums of rank 0; the other ranks start with zeros."""
        self._totals = totals.cpu().numpy() if ranks.is_first else self._zeros()

    def clear(self) -> None:
        self._totals = self._zeros()

    def _zeros(self) -> NDArray[np.float64]:
        return np.zeros((2, len(self.names)))
