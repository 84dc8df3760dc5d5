"""Applies noise and places images in NumPy. The twin of pipelines.render.compiled, with the same bytes; no slower for a
few images, since nothing is compiled or loaded for them."""

from collections.abc import Iterator, Sequence

import numpy as np

from pipelines.noise import Draw, Image, Noise
from pipelines.render.placement import Placed, Placement
from pipelines.store.statistics import channel_sums, difference_energy, energy

__all__ = ["Block", "noisy"]


def noisy(noise: Noise, image: Image, draw: Draw) -> Image:
    """`image` with the noise; a new array."""
    return noise.apply(image, draw)


class Block:
    """`images` images of one variant in each size, black where nothing was placed."""

    def __init__(self, images: int, sizes_px: Sequence[int], channels: int) -> None:
        self._squares = [np.zeros((images, size, size, channels), np.uint8) for size in sizes_px]

    def place(self, row: int, image: Image, placement: Placement) -> None:
        """Copies the windows of `image`, which is `placement.image` with or without noise, to image number `row`."""
        for size, top, left, to_top, to_left, height, width in placement.windows.tolist():
            square = self._squares[size][row]
            square[to_top : to_top + height, to_left : to_left + width] = image[top : top + height, left : left + width]

    def placed(self, clean: "Block") -> Iterator[Placed]:
        """The images of each size; `clean` has the same ones without noise."""
        for squares, originals in zip(self._squares, clean._squares, strict=True):
            pixels, before = squares.reshape(len(squares), -1), originals.reshape(len(squares), -1)
            sums = channel_sums(pixels, squares.shape[3])
            yield Placed(squares.shape[1], pixels, energy(pixels), difference_energy(pixels, before), sums)
