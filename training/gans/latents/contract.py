"""The contract of generator inputs: a frozen settings object that draws them from an explicit generator."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.settings import Settings

__all__ = ["Latent", "NoiseImages", "Source"]

NoiseImages = Callable[[str, str, int, int, np.random.Generator], NDArray[np.uint8]]
"""(noise, level, size_px, count, random) → images of that noise, (count, size_px, size_px, 3); supplied by the jobs."""


class Source(NamedTuple):
    """The source of latents that are made from images: `images` (N, 3, S, S) in [-1, 1]."""

    images: torch.Tensor | None = None
    noise_images: NoiseImages | None = None


class Latent(Settings):
    """The same draws give the same input. `from_images`: made from the images of the source, one from each."""

    kind: ClassVar[str]
    is_image: ClassVar[bool] = False
    from_images: ClassVar[bool] = False

    @abstractmethod
    def shape(self, size_px: int) -> tuple[int, ...]:
        """The shape of one input: (length,), or (3, size_px, size_px)."""

    @abstractmethod
    def draw(self, count: int, size_px: int, draws: torch.Generator, source: Source) -> torch.Tensor:
        """(count, *shape), float32, on the CPU or on the device of the source's images. Raises SettingsError if the
        source lacks what is needed."""
