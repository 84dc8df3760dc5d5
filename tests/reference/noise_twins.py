"""Reference implementations of the noises, value by value in plain Python: slow, but easy to verify."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.fft import dctn, idctn

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


K1 = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
"""Quantization of luminance: ITU-T T.81, table K.1."""


def jpeg(image: Image, quality: int) -> Image:
    """One channel, sides that are multiples of 8: the cosine transform of each block of 8 × 8, rounded to multiples of
    table K.1, which libjpeg scales by 50 / quality, or by 2 − quality / 50 above 50, and back."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    table = np.clip((np.array(K1).reshape(8, 8) * scale + 50) // 100, 1, 255)
    out = image.copy()
    for row in range(0, image.shape[0], 8):
        for column in range(0, image.shape[1], 8):
            block = image[row : row + 8, column : column + 8, 0].astype(float) - 128
            rounded = np.rint(dctn(block, norm="ortho") / table) * table
            back = np.rint(idctn(rounded, norm="ortho") + 128)
            out[row : row + 8, column : column + 8, 0] = np.clip(back, 0, 255)
    return out
