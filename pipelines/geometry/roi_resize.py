from typing import ClassVar

import numpy as np
from PIL import Image as PillowImage
from pydantic import Field

from pipelines.geometry.contract import Resampling, Roi
from pipelines.noise.contract import Image
from pipelines.noise.pillow import from_pillow, to_pillow


class RoiResize(Resampling):
    """Cuts out the annotated sign with a margin of `margin_fraction` of its sides, then stretches that to a square.

    The margin ends at the image's border. Pillow's antialiased bilinear filter.
    """

    kind: ClassVar[str] = "roi_resize"
    margin_fraction: float = Field(default=0.1, ge=0)

    def resample(self, image: Image, roi: Roi, size_px: int) -> Image:
        height, width = image.shape[:2]
        across = round(self.margin_fraction * (roi.x2 - roi.x1 + 1))
        down = round(self.margin_fraction * (roi.y2 - roi.y1 + 1))
        left, right = max(0, roi.x1 - across), min(width, roi.x2 + 1 + across)
        top, bottom = max(0, roi.y1 - down), min(height, roi.y2 + 1 + down)
        sign = to_pillow(np.ascontiguousarray(image[top:bottom, left:right]))
        return from_pillow(sign.resize((size_px, size_px), PillowImage.Resampling.BILINEAR))
