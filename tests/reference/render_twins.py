"""Reference implementations of geometry and rendering, pixel by pixel: slow, but easy to verify."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.geometry import Geometry
from pipelines.geometry.contract import Windowing
from pipelines.noise import Image, Noise, generator
from pipelines.render.rendering import Original


def crop_or_pad(image: Image, size_px: int) -> Image:
    """The centre of the image, black around it where it is smaller than the square."""
    height, width, _ = image.shape
    out = np.zeros((size_px, size_px, 3), np.uint8)
    for row in range(size_px):
        for column in range(size_px):
            from_row, from_column = row + _first(height, size_px), column + _first(width, size_px)
            if 0 <= from_row < height and 0 <= from_column < width:
                out[row, column] = image[from_row, from_column]
    return out


def _first(have_px: int, want_px: int) -> int:
    """The first pixel of the image in the square; negative if there is padding before it."""
    remainder = abs(have_px - want_px) // 2
    return remainder if have_px > want_px else -remainder


def render(
    geometry: Geometry, sizes_px: Sequence[int], variants: Mapping[str, Noise | None], seed: int, original: Original
) -> dict[tuple[int, str], Image]:
    """One image by size and variant; the noise is drawn again for each of them."""
    out = {}
    roi = geometry.found(original.roi, seed, original.image_id)
    for size_px in sizes_px:
        for variant, noise in variants.items():

            def noisy(image: Image, noise: Noise | None = noise) -> Image:
                return image if noise is None else noise(image, generator(seed, noise.kind, original.image_id))

            if isinstance(geometry, Windowing):
                out[size_px, variant] = geometry(noisy(original.pixels), roi, size_px)
            else:
                out[size_px, variant] = noisy(geometry(original.pixels, roi, size_px))
    return out
