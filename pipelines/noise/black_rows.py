from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.noise.contract import Image, Noise, Strength


class BlackRows(Noise):
    """Turns round(fraction × height) random rows of pixels black (proposal: "black rows/cols of pixels")."""

    kind: ClassVar[str] = "black_rows"
    strength_keys: ClassVar[frozenset[str]] = frozenset({"fraction"})
    fraction: float = Field(ge=0, le=1)

    @property
    def strength(self) -> Strength:
        return Strength(100 * self.fraction, "%", "rows turned black")

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """The rows in the order in which they turn black."""
        return rng.permutation(shape[0])

    def apply(self, image: Image, draw: NDArray[np.int64]) -> Image:
        noisy = image.copy()
        noisy[draw[: round(self.fraction * len(draw))]] = 0
        return noisy
