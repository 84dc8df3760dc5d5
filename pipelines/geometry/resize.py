from typing import ClassVar

from PIL import Image as PillowImage

from pipelines.geometry.contract import Resampling, Roi
from pipelines.noise.contract import Image
from pipelines.noise.pillow import from_pillow, to_pillow


class Resize(Resampling):
    """Stretches the whole image to a square with Pillow's antialiased bilinear filter; the aspect ratio is not kept."""

    kind: ClassVar[str] = "resize"

    def resample(self, image: Image, roi: Roi, size_px: int) -> Image:
        return from_pillow(to_pillow(image).resize((size_px, size_px), PillowImage.Resampling.BILINEAR))
