"""The contract of noises: a frozen object with a strength, applied to one image with one random draw."""

import hashlib
from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.settings import Settings

__all__ = ["Draw", "Image", "Noise", "Strength", "generator"]

Image = NDArray[np.uint8]
"""height × width × RGB, 0–255."""
Draw = Any
"""The random part of one noise on one image; defined by each noise."""


class Strength(NamedTuple):
    """`value` of `quantity` in `unit`, which is "" for a number of things; the value increases with the noise, and is 0
    without it."""

    value: float
    unit: str
    quantity: str

    @property
    def axis(self) -> str:
        """The label of an axis."""
        return f"{self.quantity}, {self.unit}" if self.unit else self.quantity

    @property
    def text(self) -> str:
        return f"{self.quantity} {self.value:g} {self.unit}".rstrip()


class Noise(Settings):
    """`draw` does not depend on the strength, so the levels of a noise on one image share one draw, and a stronger
    level is a stronger version of the same noise (design: scaled or nested)."""

    kind: ClassVar[str]
    strength_keys: ClassVar[frozenset[str]]
    """The settings that `strength` is made of; noises that differ in no others are levels of one noise."""

    @property
    @abstractmethod
    def strength(self) -> Strength: ...

    @classmethod
    @abstractmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> Draw:
        """The random numbers for an image of `shape` (height, width, channels)."""

    @abstractmethod
    def apply(self, image: Image, draw: Draw) -> Image:
        """A new noisy image; `image` is not changed."""

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        return self.apply(image, self.draw(rng, image.shape))


def generator(seed: int, kind: str, image_id: str) -> np.random.Generator:
    """The generator of one noise kind on one image: the same numbers on any partition, executor or machine."""
    key = hashlib.sha256(f"{seed}\0{kind}\0{image_id}".encode()).digest()[:16]
    return np.random.Generator(np.random.SFC64(int.from_bytes(key, "little")))
