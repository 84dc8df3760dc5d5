from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.noise.contract import Image, Noise, Strength


class BlackColumns(Noise):
    """Turns round(fraction × width) random columns of pixels black (proposal: "black rows/cols of pixels")."""

    kind: ClassVar[str] = "black_columns"
    strength_keys: ClassVar[frozenset[str]] = frozenset({"fraction"})
    fraction: float = Field(ge=0, le=1)

    @property
    def strength(self) -> Strength:
        return Strength(100 * self.fraction, "%", "columns turned black")

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """The columns in the order in which they turn black."""
        return rng.permutation(shape[1])

    def apply(self, image: Image, draw: NDArray[np.int64]) -> Image:
        noisy = image.copy()
        noisy[:, draw[: round(self.fraction * len(draw))]] = 0
        return noisy
