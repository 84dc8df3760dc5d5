"""Reference implementations of the noises, value by value in plain Python: slow, but easy to verify."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.uint8]


def _each_value(image: Image, value_at: Callable[[int, int, int], int]) -> Image:
    height, width, channels = image.shape
    out = np.empty_like(image)
    for row in range(height):
        for column in range(width):
            for channel in range(channels):
                out[row, column, channel] = value_at(row, column, channel)
    return out


def _clipped(value: int) -> int:
    return min(255, max(0, value))


def gaussian(image: Image, draw: NDArray[np.float32], std_grey: float, overflow: str) -> Image:
    """Rounds image + std · draw and clips it to 0–255, or rounds std · draw and adds it modulo 256."""

    def value_at(*place: int) -> int:
        grey, change = int(image[place]), float(draw[place] * np.float32(std_grey))
        if overflow == "wrap":
            return (grey + round(change)) % 256
        return _clipped(round(float(np.float32(change) + np.float32(grey))))

    return _each_value(image, value_at)


def periodic(image: Image, vertical: bool, peak_grey: float, period_px: float) -> Image:
    """Adds peak · (sin x + cos x), x = 2π · position / period."""

    def value_at(row: int, column: int, channel: int) -> int:
        x = 2 * math.pi * (column if vertical else row) / period_px
        return _clipped(int(image[row, column, channel]) + round(peak_grey * (math.sin(x) + math.cos(x))))

    return _each_value(image, value_at)


def salt_pepper(image: Image, order: NDArray[np.float32], salt: NDArray[np.bool_], fraction: float) -> Image:
    """Sets a pixel to white or black if its value in the order is below the fraction."""

    def value_at(row: int, column: int, channel: int) -> int:
        if order[row, column] < np.float32(fraction):
            return 255 if salt[row, column] else 0
        return int(image[row, column, channel])

    return _each_value(image, value_at)


def random(image: Image, order: NDArray[np.float32], colours: Image, fraction: float) -> Image:
    """Replaces the colour of a pixel if its value in the order is below the fraction."""

    def value_at(row: int, column: int, channel: int) -> int:
        source = colours if order[row, column] < np.float32(fraction) else image
        return int(source[row, column, channel])

    return _each_value(image, value_at)


def patches(image: Image, places: NDArray[np.float64], colours: Image, side_fraction: float) -> Image:
    """Paints one square after the other, each wholly inside the image."""
    height, width, _ = image.shape
    side = max(1, round(side_fraction * min(height, width)))
    corners = [
        (math.floor(row * (height - side + 1)), math.floor(column * (width - side + 1))) for row, column in places
    ]

    def value_at(row: int, column: int, channel: int) -> int:
        value = int(image[row, column, channel])
        for (top, left), colour in zip(corners, colours, strict=True):
            if top <= row < top + side and left <= column < left + side:
                value = int(colour[channel])
        return value

    return _each_value(image, value_at)


def blur(image: Image, std_px: float) -> NDArray[np.float64]:
    """Three boxes whose outermost weights are chosen so that together they have the variance std² (P. Gwosdek et al.,
    "Theoretical foundations of Gaussian convolution by extended box filtering", 2011), without any rounding."""
    variance = std_px**2 / 3
    whole = math.floor((math.sqrt(12 * variance + 1) - 1) / 2)
    edge = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) ** 2))
    weights = np.array([edge, *[1] * (2 * whole + 1), edge]) / (2 * whole + 1 + 2 * edge)
    out = image.astype(np.float64)
    for axis in (0, 1):
        for _ in range(3):
            out = ndimage.convolve1d(out, weights, axis=axis, mode="nearest")
    return out


def speckle(image: Image, draw: NDArray[np.float32], std_fraction: float) -> Image:
    """value · (1 + std_fraction · draw) in float32, rounded to even and clipped."""

    def value_at(row: int, column: int, channel: int) -> int:
        factor = np.float32(draw[row, column, channel]) * np.float32(std_fraction) + np.float32(1)
        return _clipped(int(np.rint(factor * np.float32(image[row, column, channel]))))

    return _each_value(image, value_at)
