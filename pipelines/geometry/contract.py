"""The contract of geometries: a frozen object that makes square images of given sizes from an image of any size."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from pipelines.noise.contract import Image
from pipelines.settings import Settings

__all__ = ["Geometry", "Resampling", "Roi", "Stage", "Window", "Windowing"]


class Roi(NamedTuple):
    """The annotated sign, in pixels of the original image; x2 and y2 are inside it (GTSRB's Roi.X1 … Roi.Y2)."""

    x1: int
    y1: int
    x2: int
    y2: int


class Window(NamedTuple):
    """Which rows and columns of an image are copied to which of the square; the rest of the square is black."""

    source: tuple[slice, slice]
    target: tuple[slice, slice]


class Stage(NamedTuple):
    """An image at the point where noise is applied, and the destination of its pixels for each size."""

    image: Image
    windows: dict[int, Window]


class Geometry(Settings):
    """Derive from Windowing or Resampling, which determines whether noise comes before or after the geometry."""

    kind: ClassVar[str]

    def found(self, roi: Roi, seed: int, image_id: str) -> Roi:
        """The region that is taken for the annotated one; a function of these alone."""
        return roi

    @abstractmethod
    def stages(self, image: Image, roi: Roi, sizes_px: Sequence[int]) -> Iterator[Stage]:
        """Stages that together contain every size once."""

    def __call__(self, image: Image, roi: Roi, size_px: int) -> Image:
        """`image` (height, width, channels) without noise as (size_px, size_px, channels)."""
        (stage,) = self.stages(image, roi, [size_px])
        out = np.zeros((size_px, size_px, image.shape[2]), np.uint8)
        out[stage.windows[size_px].target] = stage.image[stage.windows[size_px].source]
        return out


class Windowing(Geometry):
    """Only moves pixels. Noise comes before it, as in the paper, so padding remains black and one draw serves every
    size."""

    @abstractmethod
    def window(self, height: int, width: int, size_px: int) -> Window:
        """The destination of the pixels of an image of height × width."""

    def stages(self, image: Image, roi: Roi, sizes_px: Sequence[int]) -> Iterator[Stage]:
        height, width = image.shape[:2]
        yield Stage(image, {size: self.window(height, width, size) for size in sizes_px})


class Resampling(Geometry):
    """Mixes pixels. Noise comes after it, since resampling would average it out; each size has its own draw."""

    @abstractmethod
    def resample(self, image: Image, roi: Roi, size_px: int) -> Image:
        """`image` (height, width, channels) as (size_px, size_px, channels)."""

    def stages(self, image: Image, roi: Roi, sizes_px: Sequence[int]) -> Iterator[Stage]:
        everything = (slice(None), slice(None))
        for size in sizes_px:
            yield Stage(self.resample(image, roi, size), {size: Window(everything, everything)})
