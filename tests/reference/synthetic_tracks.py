"""Tracks of drawn signs whose ids are known: each has its own surroundings and light, and grows from frame to frame."""

from collections.abc import Sequence

import numpy as np
from fake_gtsrb import FakeImage
from numpy.typing import NDArray
from PIL import Image as PillowImage

FRAMES = 30


def make_tracks(
    labels: Sequence[int] = (3, 14), training: int = 4, tests: int = 3, frames: int = FRAMES, seed: int = 0
) -> tuple[list[FakeImage], dict[str, int]]:
    """Images of `training` and `tests` tracks of each label, the latter shuffled, and the track of each test image."""
    rng = np.random.default_rng(seed)
    images, hidden = [], []
    for label in labels:
        sign = _texture(rng, 12)
        for track in range(training + tests):
            pictures = _track(sign, frames, rng)
            if track < training:
                images += [FakeImage("train", label, track, number, pixels) for number, pixels in enumerate(pictures)]
            else:
                hidden += [(label, len(hidden) // frames, pixels) for pixels in pictures]
    known = {}
    for number, place in enumerate(rng.permutation(len(hidden))):
        label, track, pixels = hidden[place]
        images.append(FakeImage("test", label, 0, number, pixels))
        known[f"test/{number:05d}"] = place // frames
    return images, known


def _track(sign: NDArray[np.float64], frames: int, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    around = _texture(rng, 6)
    light, own = rng.uniform(0.4, 1, 3), sign + 0.3 * _texture(rng, 12)
    smallest, largest = rng.uniform(18, 24), rng.uniform(45, 80)
    pictures = []
    for place in np.linspace(0, 1, frames):
        size = round(1 / ((1 - place) / smallest + place / largest))
        drift = light * (1 + 0.1 * np.sin(3 * place))
        whole = _scaled(around, size + 9)
        whole[4 : size + 4, 3 : size + 3] = _scaled(own, size)
        noisy = whole * drift + rng.normal(0, 0.02, whole.shape)
        pictures.append((np.clip(noisy, 0, 1) * 255).astype(np.uint8))
    return pictures


def _texture(rng: np.random.Generator, cells: int) -> NDArray[np.float64]:
    return rng.uniform(0, 1, (cells, cells, 3))


def _scaled(texture: NDArray[np.float64], size_px: int) -> NDArray[np.float64]:
    picture = PillowImage.fromarray((np.clip(texture, 0, 1) * 255).astype(np.uint8))
    return np.asarray(picture.resize((size_px, size_px), PillowImage.Resampling.BILINEAR)) / 255
