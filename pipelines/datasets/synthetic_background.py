"""What stands behind a synthetic sign: sky and trees, clutter, scraps, branches, or a plain wall."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["BACKGROUND_PX", "draw_background", "texture"]

BACKGROUND_PX = 96


def draw_background(rng: np.random.Generator) -> Image.Image:
    """A random background of one of five kinds, BACKGROUND_PX square RGB."""
    kinds: tuple[Callable[[np.random.Generator], Image.Image], ...] = (_skyline, _clutter, _confetti, _branches, _plain)
    return kinds[int(rng.choice(len(kinds), p=(0.25, 0.25, 0.15, 0.25, 0.1)))](rng)


def texture(rng: np.random.Generator, cells: int, side_px: int = BACKGROUND_PX) -> NDArray[np.float32]:
    """Smooth noise of about `cells` bumps along a side, mean 0 and standard deviation somewhat below 1, (S, S, 1)."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((side_px, side_px), Image.Resampling.BICUBIC))[:, :, None]


def _image(values: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _colour(rng: np.random.Generator, low: float = 20, high: float = 235, spread: float = 11) -> NDArray[np.float64]:
    return rng.uniform(low, high) + rng.normal(0, spread, 3)


def _paint(rng: np.random.Generator, low: float = 20, high: float = 235, spread: float = 11) -> tuple[int, int, int]:
    red, green, blue = np.clip(_colour(rng, low, high, spread), 0, 255).astype(int).tolist()
    return red, green, blue


def _sky(rng: np.random.Generator) -> NDArray[np.float64]:
    height = np.linspace(0, 1, BACKGROUND_PX)[:, None, None]
    sky: NDArray[np.float64] = np.array([175, 190, 212]) + rng.normal(0, 28) + rng.normal(0, 8, 3) + 35 * height
    return sky + np.zeros((1, BACKGROUND_PX, 1))


def _octaves(rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of five octaves, each finer one weaker (K. Perlin, "An image synthesizer", 1985)."""
    persistence = rng.uniform(0.5, 0.95)
    layers = [persistence**octave * texture(rng, 3 * 2**octave) for octave in range(5)]
    total: NDArray[np.float32] = np.sum(layers, axis=0)
    return total / np.float32(max(0.1, total.std()))


def _skyline(rng: np.random.Generator) -> Image.Image:
    """Sky above trees and houses."""
    height = np.linspace(0, 1, BACKGROUND_PX)[:, None, None]
    trees = np.array([78, 88, 60]) + rng.normal(0, 20) + rng.normal(0, 10, 3) - 25 * height
    skyline = rng.uniform(-0.2, 1.1) + 0.15 * texture(rng, 8)[:1]
    leaves = trees + rng.uniform(10, 40) * texture(rng, 24)
    background = _image(np.where(height < skyline, _sky(rng), leaves) + rng.uniform(4, 16) * texture(rng, 40))
    draw = ImageDraw.Draw(background)
    for left, top, width, depth in rng.integers(0, BACKGROUND_PX, (rng.integers(0, 4), 4)).tolist():
        draw.rectangle((left, top, left + 4 + width // 3, top + 4 + depth // 2), _paint(rng, 60, 190, 10))
    return background


def _clutter(rng: np.random.Generator) -> Image.Image:
    """Leaves, grass and shadows: two colours mixed by noise of many scales."""
    share = 1 / (1 + np.exp(-rng.uniform(1, 3) * _octaves(rng)))
    dark, bright = _colour(rng, 5, 90), _colour(rng, 60, 255, 20)
    return _image(dark + (bright - dark) * share + rng.uniform(0, 14) * _octaves(rng))


def _confetti(rng: np.random.Generator) -> Image.Image:
    """Polygons of many sizes and colours."""
    background = Image.new("RGB", (BACKGROUND_PX, BACKGROUND_PX), _paint(rng, spread=22))
    draw = ImageDraw.Draw(background)
    for _ in range(int(rng.integers(10, 60))):
        middle, radius = rng.uniform(0, BACKGROUND_PX, 2), rng.exponential(12) + 3
        corners = middle + rng.uniform(-radius, radius, (int(rng.integers(3, 6)), 2))
        draw.polygon([(x, y) for x, y in corners.tolist()], _paint(rng, spread=25))
    return background


def _branches(rng: np.random.Generator) -> Image.Image:
    """Dark branches before the sky, or bright stripes before something dark."""
    background = _image(_sky(rng) if rng.random() < 0.7 else _colour(rng, 5, 90) + 20 * texture(rng, 12))
    draw = ImageDraw.Draw(background)
    low, high = (10, 80) if rng.random() < 0.8 else (120, 240)
    for _ in range(int(rng.integers(5, 40))):
        place, angle = rng.uniform(0, BACKGROUND_PX, 2), rng.normal(-1.57, 0.8)
        width = int(1 + rng.exponential(2.5))
        points = [place]
        for _ in range(3):
            angle += rng.normal(0, 0.35)
            points.append(points[-1] + rng.uniform(10, 35) * np.array([np.cos(angle), np.sin(angle)]))
        draw.line([(x, y) for x, y in np.array(points).tolist()], _paint(rng, low, high, 8), width)
    return background


def _plain(rng: np.random.Generator) -> Image.Image:
    """A wall or a clouded sky."""
    slope = rng.normal(0, 25) * np.linspace(-1, 1, BACKGROUND_PX)[None, :, None]
    return _image(_colour(rng, 30, 250) + slope + rng.uniform(0, 15) * texture(rng, 4) + np.zeros((1, 1, 3)))
