from typing import ClassVar

from pydantic import Field

from pipelines.geometry.contract import Roi
from pipelines.geometry.roi_resize import RoiResize
from pipelines.noise.contract import generator


class JitteredRoiResize(RoiResize):
    """As roi_resize, but each side of the annotated sign is first moved by an own number of pixels, uniform up to
    ± `jitter_fraction` of the sign's width or height, as an inexact detector might find it. The numbers are those of
    the image's id and the seed alone."""

    kind: ClassVar[str] = "jittered_roi_resize"
    jitter_fraction: float = Field(default=0.1, ge=0, lt=0.5)

    def found(self, roi: Roi, seed: int, image_id: str) -> Roi:
        width, height = roi.x2 - roi.x1 + 1, roi.y2 - roi.y1 + 1
        x1, y1, x2, y2 = generator(seed, self.kind, image_id).uniform(-self.jitter_fraction, self.jitter_fraction, 4)
        left, top = roi.x1 + round(x1 * width), roi.y1 + round(y1 * height)
        return Roi(left, top, max(left, roi.x2 + round(x2 * width)), max(top, roi.y2 + round(y2 * height)))
