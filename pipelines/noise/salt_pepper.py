from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipelines.noise.contract import Image, Noise, Strength


class SaltPepperDraw(NamedTuple):
    """`order` in [0, 1) per pixel: the pixel is corrupted if it is below the fraction. `salt`: white rather than
    black."""

    order: NDArray[np.float32]
    salt: NDArray[np.bool_]


class SaltPepper(Noise):
    """Turns pixels black or white with equal chance, each with probability `fraction` (paper, section 4.2).

    The paper contradicts itself by a factor of 100: "0.4% of pixels being activated" and, one paragraph later, "p =
    0.4" as the probability. `unit` is the reading of `amount`: "per_cent" (default: it is by far closer to the paper's
    Table 2) or "probability"."""

    kind: ClassVar[str] = "salt_pepper"
    strength_keys: ClassVar[frozenset[str]] = frozenset({"amount", "unit"})
    amount: float = Field(ge=0)
    unit: Literal["per_cent", "probability"] = "per_cent"

    @property
    def fraction(self) -> float:
        return self.amount / 100 if self.unit == "per_cent" else self.amount

    @model_validator(mode="after")
    def _at_most_all_pixels(self) -> Self:
        if self.fraction > 1:
            raise ValueError(f"amount {self.amount} {self.unit} is more than all pixels")
        return self

    @property
    def strength(self) -> Strength:
        return Strength(100 * self.fraction, "%", "pixels turned black or white")

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> SaltPepperDraw:
        order = rng.random(shape[:2], dtype=np.float32)
        return SaltPepperDraw(order, rng.integers(0, 2, shape[:2], dtype=np.uint8).view(np.bool_))

    def apply(self, image: Image, draw: SaltPepperDraw) -> Image:
        rows, columns = np.nonzero(draw.order < self.fraction)
        noisy = image.copy()
        noisy[rows, columns] = (draw.salt[rows, columns] * np.uint8(255))[:, None]
        return noisy
