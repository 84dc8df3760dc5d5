from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.noise.contract import Image, Noise, Strength


class Speckle(Noise):
    """Multiplies every value by 1 + `std_fraction` × an independent standard normal number, so that dark areas stay as
    they are (D. Hendrycks, T. Dietterich, "Benchmarking neural network robustness to common corruptions and
    perturbations", 2019: "speckle noise", 0.15 to 0.6). Rounded and clipped to 0–255."""

    kind: ClassVar[str] = "speckle"
    strength_keys: ClassVar[frozenset[str]] = frozenset({"std_fraction"})
    std_fraction: float = Field(ge=0, le=10)

    @property
    def strength(self) -> Strength:
        return Strength(self.std_fraction, "of the value", "standard deviation")

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return rng.standard_normal(shape, dtype=np.float32)

    def apply(self, image: Image, draw: NDArray[np.float32]) -> Image:
        factor = np.multiply(draw, np.float32(self.std_fraction))
        factor += 1
        noisy = np.rint(np.multiply(factor, image, out=factor), out=factor)
        clipped: Image = np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)
        return clipped
