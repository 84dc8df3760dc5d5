"""From the bytes of an image file to pixels."""

import io

import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from pipelines.noise.contract import Image

__all__ = ["MOST_PIXELS", "UnreadableImageError", "decode"]

MOST_PIXELS = 4096 * 4096
"""A header that claims more is a decompression bomb, not a road sign."""


class UnreadableImageError(ValueError):
    """The bytes are no image that we read; the message says why."""


def decode(data: bytes) -> Image:
    """The image in `data` (PPM, PNG, JPEG or BMP) as uint8 (height, width, RGB). Raises UnreadableImageError."""
    try:
        with PillowImage.open(io.BytesIO(data), formats=("PPM", "PNG", "JPEG", "BMP")) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise UnreadableImageError(f"claims {width} × {height} pixels, more than {MOST_PIXELS:,}")
            return np.asarray(image.convert("RGB"))
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError("not a PPM, PNG, JPEG or BMP image") from None
    except Exception as error:  # noqa: BLE001 - decoders fail on hostile bytes in whatever way they like
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from None
