"""Conversion between arrays of one or three channels and Pillow images, which have no axis for a single channel."""

import numpy as np
from PIL import Image as PillowImage

from pipelines.noise.contract import Image

__all__ = ["from_pillow", "to_pillow"]


def to_pillow(image: Image) -> PillowImage.Image:
    """The image (height, width, 1 or 3)."""
    return PillowImage.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def from_pillow(image: PillowImage.Image) -> Image:
    """The inverse of to_pillow."""
    pixels = np.asarray(image)
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels
