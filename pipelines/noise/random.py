from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.noise.contract import Image, Noise, Strength


class RandomDraw(NamedTuple):
    """`order` in [0, 1) per pixel: the pixel is replaced if it is below the fraction, by `colours`."""

    order: NDArray[np.float32]
    colours: Image


class Random(Noise):
    """Replaces each pixel, with probability `fraction`, by a uniformly random colour (proposal: "0% - 50% - 85%
    noise")."""

    kind: ClassVar[str] = "random"
    strength_keys: ClassVar[frozenset[str]] = frozenset({"fraction"})
    fraction: float = Field(ge=0, le=1)

    @property
    def strength(self) -> Strength:
        return Strength(100 * self.fraction, "%", "pixels replaced")

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> RandomDraw:
        return RandomDraw(rng.random(shape[:2], dtype=np.float32), rng.integers(0, 256, shape, dtype=np.uint8))

    def apply(self, image: Image, draw: RandomDraw) -> Image:
        return np.where((draw.order < self.fraction)[:, :, None], draw.colours, image)
