from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.noise.contract import Image, Noise, Strength


class Gaussian(Noise):
    """Adds independent normal noise of `std_grey` grey levels to every value (paper, section 4.2).

    The paper has "+50(Max) standard deviations, +25(Avg) or +5(Min)" without a unit; we use grey levels of 255. It does
    not say what happens at 0 and 255: `overflow="clip"` accumulates in float and clips; "wrap" adds in uint8, as a
    script that adds two uint8 arrays would, so that 250 + 10 is 4."""

    kind: ClassVar[str] = "gaussian"
    strength_keys: ClassVar[frozenset[str]] = frozenset({"std_grey"})
    std_grey: float = Field(ge=0, le=255)
    overflow: Literal["clip", "wrap"] = "clip"

    @property
    def strength(self) -> Strength:
        return Strength(self.std_grey, "grey levels", "standard deviation")

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return rng.standard_normal(shape, dtype=np.float32)

    def apply(self, image: Image, draw: NDArray[np.float32]) -> Image:
        noisy = np.multiply(draw, np.float32(self.std_grey))
        if self.overflow == "wrap":
            return image + np.rint(noisy, out=noisy).astype(np.int16).astype(np.uint8)
        noisy += image
        np.rint(noisy, out=noisy)
        return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)
