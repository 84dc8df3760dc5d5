from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.noise.contract import Image, Noise


class BlackRows(Noise):
    """Turns round(fraction × height) random rows of pixels black (proposal: "black rows/cols of pixels")."""

    kind: ClassVar[str] = "black_rows"
    fraction: float = Field(ge=0, le=1)

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """The rows in the order in which they turn black."""
        return rng.permutation(shape[0])

    def apply(self, image: Image, draw: NDArray[np.int64]) -> Image:
        noisy = image.copy()
        noisy[draw[: round(self.fraction * len(draw))]] = 0
        return noisy
