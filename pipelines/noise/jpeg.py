import io
from typing import ClassVar

import numpy as np
from PIL import Image as PillowImage
from pydantic import Field

from pipelines.noise.contract import Image, Noise, Strength
from pipelines.noise.pillow import from_pillow, to_pillow


class Jpeg(Noise):
    """Compresses as JPEG of a `quality` of 1 to 100 and decompresses again, with Pillow's quantization tables and
    halved colour resolution (D. Hendrycks, T. Dietterich, 2019, "JPEG": 25 to 7). Nothing is random, and no quality
    leaves all images as they are."""

    kind: ClassVar[str] = "jpeg"
    strength_keys: ClassVar[frozenset[str]] = frozenset({"quality"})
    quality: int = Field(ge=1, le=100)

    @property
    def strength(self) -> Strength:
        return Strength(float(100 - self.quality), "", "100 − JPEG quality")

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
        return None

    def apply(self, image: Image, draw: None) -> Image:
        file = io.BytesIO()
        to_pillow(image).save(file, "JPEG", quality=self.quality, subsampling="4:2:0")
        with PillowImage.open(file) as compressed:
            return np.array(from_pillow(compressed))
