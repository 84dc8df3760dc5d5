"""Applies noise and places images in functions compiled by Numba, each in one pass over the values. The bytes are those
of pipelines.render.plain: integers, or float32 operations that IEEE 754 rounds exactly."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from pipelines.noise import Draw, Image, Noise
from pipelines.noise.gaussian import Gaussian
from pipelines.noise.periodic import Periodic
from pipelines.noise.salt_pepper import SaltPepper
from pipelines.render.placement import Placed, Placement

__all__ = ["Block", "noisy"]

Function = TypeVar("Function", bound=Callable[..., Any])


def _read(dtype: Any, dimensions: int = 1) -> Any:
    """The type of a contiguous array that is not changed."""
    return types.Array(dtype, dimensions, "C", readonly=True)


def _written(dtype: Any, dimensions: int = 1) -> Any:
    return types.Array(dtype, dimensions, "C")


def _compiled(*arguments: Any) -> Callable[[Function], Function]:
    """Compiles when this module is imported for the first time on a machine, and later loads what was compiled."""

    def compiled(function: Function) -> Function:
        signature = types.void(*arguments)
        try:
            return njit(signature, cache=True)(function)  # type: ignore[no-any-return]
        except RuntimeError:  # no folder for compiled functions can be written
            return njit(signature)(function)  # type: ignore[no-any-return]

    return compiled


def noisy(noise: Noise, image: Image, draw: Draw) -> Image:
    """`image` with the noise; a new array."""
    out = np.empty(image.shape, np.uint8)
    values, flat = image.reshape(-1), out.reshape(-1)
    if isinstance(noise, Gaussian) and noise.overflow == "clip":
        _add_scaled(values, draw.reshape(-1), np.float32(noise.std_grey), flat)
    elif isinstance(noise, Periodic):
        vertical = noise.vertical(draw)
        _add_wave(image, noise.wave(image.shape[1 if vertical else 0]), vertical, out)
    elif isinstance(noise, SaltPepper):
        _set_pixels(values, draw.order.reshape(-1), np.float32(noise.fraction), draw.salt.reshape(-1), flat)
    else:
        return noise.apply(image, draw)
    return out


@_compiled(_read(types.uint8), _read(types.float32), types.float32, _written(types.uint8))
def _add_scaled(
    values: NDArray[np.uint8], draw: NDArray[np.float32], scale: np.float32, out: NDArray[np.uint8]
) -> None:
    for i in range(len(values)):
        sum_ = np.rint(draw[i] * scale + np.float32(values[i]))
        out[i] = np.uint8(np.int32(min(max(sum_, np.float32(0)), np.float32(255))))


@_compiled(_read(types.uint8, 3), _read(types.int16), types.boolean, _written(types.uint8, 3))
def _add_wave(image: Image, wave: NDArray[np.int16], vertical: bool, out: Image) -> None:
    height, width, channels = image.shape
    for row in range(height):
        for column in range(width):
            shift = np.int32(wave[column if vertical else row])
            for channel in range(channels):
                sum_ = np.int32(image[row, column, channel]) + shift
                out[row, column, channel] = np.uint8(min(max(sum_, np.int32(0)), np.int32(255)))


@_compiled(_read(types.uint8), _read(types.float32), types.float32, _read(types.boolean), _written(types.uint8))
def _set_pixels(
    values: NDArray[np.uint8],
    order: NDArray[np.float32],
    fraction: np.float32,
    salt: NDArray[np.bool_],
    out: NDArray[np.uint8],
) -> None:
    channels = len(values) // len(order)
    for pixel in range(len(order)):
        for i in range(pixel * channels, (pixel + 1) * channels):
            if order[pixel] < fraction:
                out[i] = np.uint8(255) if salt[pixel] else np.uint8(0)
            else:
                out[i] = values[i]


class Block:
    """`images` images of one variant in each size, all of which must be placed."""

    def __init__(self, images: int, sizes_px: Sequence[int], channels: int) -> None:
        self._channels = channels
        self._sizes = np.array(sizes_px, np.int64)
        self._pixels = np.empty(images * channels * int((self._sizes**2).sum()), np.uint8)
        self._energy, self._difference = np.zeros((2, len(sizes_px), images), np.uint64)
        self._sums = np.zeros((len(sizes_px), 2, channels), np.uint64)

    def place(self, row: int, image: Image, placement: Placement) -> None:
        """Copies the windows of `image`, which is `placement.image` with or without noise, to image number `row`."""
        _place(
            image.reshape(-1), placement.image.reshape(-1), image.shape[1], placement.windows, self._sizes, row,
            self._pixels, self._energy, self._difference, self._sums,
        )  # fmt: skip

    def placed(self, clean: "Block") -> Iterator[Placed]:
        """The images of each size."""
        start, images = 0, self._energy.shape[1]
        for number, size_px in enumerate(self._sizes.tolist()):
            end = start + images * self._channels * size_px**2
            pixels = self._pixels[start:end].reshape(images, -1)
            yield Placed(size_px, pixels, self._energy[number], self._difference[number], self._sums[number])
            start = end


@_compiled(
    _read(types.uint8), _read(types.uint8), types.int64, _read(types.int64, 2), _read(types.int64), types.int64,
    _written(types.uint8), _written(types.uint64, 2), _written(types.uint64, 2), _written(types.uint64, 3),
)  # fmt: skip
def _place(
    image: NDArray[np.uint8], clean: NDArray[np.uint8], image_width: int, windows: NDArray[np.int64],
    sizes: NDArray[np.int64], row: int, pixels: NDArray[np.uint8], energy: NDArray[np.uint64],
    difference: NDArray[np.uint64], sums: NDArray[np.uint64],
) -> None:  # fmt: skip
    """Copies and sums; per line of a window the sums fit uint32 (512 px × 3 channels × 255²)."""
    images, channels = energy.shape[1], sums.shape[2]
    for number in range(len(windows)):
        size, top, left, to_top, to_left, height, width = windows[number]
        area, values = sizes[size] ** 2 * channels, width * channels
        start = row * area
        for smaller in range(size):
            start += images * sizes[smaller] ** 2 * channels
        if height < sizes[size] or width < sizes[size]:
            pixels[start : start + area] = 0
        column_sum, column_squares = np.zeros(values, np.uint32), np.zeros(values, np.uint32)
        for line in range(height):
            source = ((top + line) * image_width + left) * channels
            target = start + ((to_top + line) * sizes[size] + to_left) * channels
            new, old = image[source : source + values], clean[source : source + values]
            to = pixels[target : target + values]
            line_difference = np.uint32(0)
            for i in range(values):
                value = np.int32(new[i])
                to[i] = new[i]
                column_sum[i] += np.uint32(value)
                column_squares[i] += np.uint32(value * value)
                change = value - np.int32(old[i])
                line_difference += np.uint32(change * change)
            difference[size, row] += line_difference
        for i in range(values):
            sums[size, 0, i % channels] += column_sum[i]
            sums[size, 1, i % channels] += column_squares[i]
            energy[size, row] += column_squares[i]
