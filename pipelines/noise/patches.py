from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.noise.contract import Image, Noise, Strength

MAX_PATCHES = 16


class PatchesDraw(NamedTuple):
    """The position in [0, 1)² and the colour of each of MAX_PATCHES patches."""

    places: NDArray[np.float64]
    colours: Image


class Patches(Noise):
    """Covers the image with `count` squares of one random colour each (proposal: "colored patches").

    A square's side is `side_fraction` of the image's shorter side, at least one pixel; it lies wholly inside the image.
    Squares may overlap; a level with more squares has those of the weaker level and further ones.
    """

    kind: ClassVar[str] = "patches"
    strength_keys: ClassVar[frozenset[str]] = frozenset({"count"})
    count: int = Field(ge=0, le=MAX_PATCHES)
    side_fraction: float = Field(default=0.25, gt=0, le=1)

    @property
    def strength(self) -> Strength:
        return Strength(float(self.count), "", "patches")

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> PatchesDraw:
        places = rng.random((MAX_PATCHES, 2))
        return PatchesDraw(places, rng.integers(0, 256, (MAX_PATCHES, shape[2]), dtype=np.uint8))

    def apply(self, image: Image, draw: PatchesDraw) -> Image:
        height, width = image.shape[:2]
        side = max(1, round(self.side_fraction * min(height, width)))
        noisy = image.copy()
        for (row, column), colour in zip(draw.places[: self.count], draw.colours, strict=False):
            top, left = int(row * (height - side + 1)), int(column * (width - side + 1))
            noisy[top : top + side, left : left + side] = colour
        return noisy
