"""The geometries: how an image of any size becomes a square of size_px. To add one, add a file and a line here."""

from pipelines.geometry.contract import Geometry, Roi, Stage
from pipelines.geometry.crop_or_pad import CropOrPad
from pipelines.geometry.jittered_roi_resize import JitteredRoiResize
from pipelines.geometry.resize import Resize
from pipelines.geometry.roi_resize import RoiResize

__all__ = ["GEOMETRIES", "Geometry", "Roi", "Stage"]

GEOMETRIES: dict[str, type[Geometry]] = {
    "crop_or_pad": CropOrPad,
    "resize": Resize,
    "roi_resize": RoiResize,
    "jittered_roi_resize": JitteredRoiResize,
}
