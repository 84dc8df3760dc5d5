"""The noises of conf/noise/ on a single image."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pipelines.errors import SettingsError
from pipelines.noise import NOISES, generator
from pipelines.settings import choose
from roadsign.pixels import GivenImage, pixels_of

__all__ = ["corrupt"]


def corrupt(
    image: GivenImage, noise: str, *, seed: int = 0, image_id: str = "", **settings: float | str
) -> NDArray[np.uint8]:
    """The image with one of the noises of pipelines.noise: corrupt(image, "gaussian", std_grey=25).

    uint8 of the image's size, with three channels, or one if it has one. `settings` are those of the noise
    (pipelines/noise/<noise>.py; its levels are in conf/noise/). The random numbers depend on `seed`, the noise and
    `image_id`, so the image of a dataset with its id gets the numbers that it has there. Raises SettingsError, which
    names the noises or the settings that there are."""
    try:
        chosen = choose(NOISES, {"kind": noise, **settings})
    except ValueError as error:
        raise SettingsError(f"{noise}: {error}") from None
    pixels = pixels_of(image, _channels(image))
    noisy = chosen(pixels, generator(seed, chosen.kind, image_id))
    return noisy[:, :, 0] if isinstance(image, np.ndarray) and image.ndim == 2 else noisy


def _channels(image: GivenImage) -> int:
    if isinstance(image, np.ndarray):
        return 3 if image.ndim == 3 and image.shape[2] == 3 else 1
    return 1 if isinstance(image, PillowImage.Image) and image.mode in ("1", "L") else 3
