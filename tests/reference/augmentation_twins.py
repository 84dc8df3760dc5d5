"""Slow plain twins of augmentations: one pixel of one image after the other."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy.ndimage import shift

Image = NDArray[np.float32]
"""(channels, S, S) in [0, 1]."""


def shadow(image: Image, draws: list[float], share: float, deepest: float) -> Image:
    chosen, turn, place, wide, soft, deep = draws
    if chosen >= share:
        return image
    side = image.shape[-1]
    angle, first = 2 * math.pi * turn, place - 0.5
    last, scale = first + 0.1 + 1.4 * wide, 0.5 / side + soft * (0.1 - 0.5 / side)
    out = image.copy()
    for row in range(side):
        for column in range(side):
            x, y = (column + 0.5) / side - 0.5, (row + 0.5) / side - 0.5
            along = x * math.cos(angle) + y * math.sin(angle)
            inside = 1 / (1 + math.exp((first - along) / scale)) / (1 + math.exp((along - last) / scale))
            out[:, row, column] *= 1 - (0.1 + deep * (deepest - 0.1)) * inside
    return out


def erase(image: Image, draws: list[float], share: float, largest_fraction: float) -> Image:
    chosen, x, y, wide, high, *colour = draws
    side, out = image.shape[-1], image.copy()
    for row in range(side):
        for column in range(side):
            across = abs((column + 0.5) / side - x) < wide * largest_fraction / 2
            if chosen < share and across and abs((row + 0.5) / side - y) < high * largest_fraction / 2:
                out[:, row, column] = colour[: len(image)]
    return out


def low_resolution(image: Image, draws: list[float], share: float, smallest_px: int) -> Image:
    """Pillow's own reduction and enlargement."""
    chosen, size = draws
    side = image.shape[-1]
    if chosen >= share:
        return image
    reduced = round(smallest_px * (side / smallest_px) ** size)
    out = []
    for channel in image:
        small = PillowImage.fromarray(channel).resize((reduced, reduced), PillowImage.Resampling.BILINEAR)
        out.append(np.asarray(small.resize((side, side), PillowImage.Resampling.BILINEAR)))
    return np.stack(out)


def motion_blur(image: Image, draws: list[float], share: float, longest_fraction: float) -> Image:
    """SciPy's bilinear interpolation, 9 times."""
    chosen, turn, long = draws
    if chosen >= share:
        return image
    side = image.shape[-1]
    length_px, angle = longest_fraction * long * side, math.pi * turn
    moments = []
    for at in np.linspace(-0.5, 0.5, 9):
        move = (0, -at * length_px * math.sin(angle), -at * length_px * math.cos(angle))
        moments.append(shift(image.astype(np.float64), move, order=1, mode="nearest"))
    return np.mean(moments, axis=0).astype(np.float32)
