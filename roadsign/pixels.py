"""Images as users have them: a path, a Pillow image, or an array."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pipelines.datasets.decoding import decode
from pipelines.errors import SourceError

__all__ = ["GivenImage", "pixels_of"]

GivenImage = str | Path | PillowImage.Image | NDArray[np.uint8]
"""A file, a Pillow image, or uint8 (height, width), (height, width, 1) or (height, width, 3) in RGB."""


def pixels_of(image: GivenImage, channels: int) -> NDArray[np.uint8]:
    """uint8 (height, width, channels); one channel is the luma of RGB, and grey images get three equal channels. Raises
    SourceError for an array of another type or shape, and OSError and UnreadableImageError for files."""
    if isinstance(image, str | Path):
        return decode(Path(image).expanduser().read_bytes(), channels)
    if isinstance(image, np.ndarray):
        image = PillowImage.fromarray(_checked(image))
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels[:, :, np.newaxis] if channels == 1 else pixels


def _checked(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise SourceError(
            f"an array {array.dtype} {array.shape}: expected uint8 (height, width), (height, width, 1) or "
            "(height, width, 3); for floats in [0, 1] write (255 * image).round().astype('uint8')"
        )
    if 0 in array.shape:
        raise SourceError(f"an array {array.shape}: has no pixels")
    return array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
