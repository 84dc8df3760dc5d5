from typing import ClassVar

import numpy as np
from PIL import ImageFilter
from pydantic import Field

from pipelines.noise.contract import Image, Noise, Strength
from pipelines.noise.pillow import from_pillow, to_pillow


class Blur(Noise):
    """Blurs with a Gaussian of standard deviation `std_px` (proposal: "blurring"); nothing is random.

    Pillow's GaussianBlur approximates the Gaussian by three box blurs and repeats the border pixels.
    """

    kind: ClassVar[str] = "blur"
    strength_keys: ClassVar[frozenset[str]] = frozenset({"std_px"})
    std_px: float = Field(ge=0)

    @property
    def strength(self) -> Strength:
        return Strength(self.std_px, "px", "standard deviation")

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
        return None

    def apply(self, image: Image, draw: None) -> Image:
        return from_pillow(to_pillow(image).filter(ImageFilter.GaussianBlur(self.std_px)))
