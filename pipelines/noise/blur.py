from typing import ClassVar

import numpy as np
from PIL import ImageFilter
from pydantic import Field

from pipelines.noise.contract import Image, Noise
from pipelines.noise.pillow import from_pillow, to_pillow


class Blur(Noise):
    """Blurs with a Gaussian of standard deviation `std_px` (proposal: "blurring"); nothing is random.

    Pillow's GaussianBlur approximates the Gaussian by three box blurs and repeats the border pixels.
    """

    kind: ClassVar[str] = "blur"
    std_px: float = Field(ge=0)

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
        return None

    def apply(self, image: Image, draw: None) -> Image:
        return from_pillow(to_pillow(image).filter(ImageFilter.GaussianBlur(self.std_px)))
