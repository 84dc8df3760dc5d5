"""Where the pixels of one stage of an image go in each size."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.geometry import Stage
from pipelines.noise import Image
from pipelines.store.statistics import ChannelSums, Energies, Pixels

__all__ = ["Placed", "Placement"]


class Placed(NamedTuple):
    """N images of one size: ‖x‖² and ‖x − clean‖² of each, and the sums over all of them."""

    size_px: int
    pixels: Pixels
    energy: Energies
    difference: Energies
    sums: ChannelSums


class Placement(NamedTuple):
    """An image where noise is applied, and a row of `windows` for each size that is made from it: the index of the
    size, top and left in the image, top and left in the square, height and width (all in pixels)."""

    image: Image
    windows: NDArray[np.int64]

    @classmethod
    def of(cls, stage: Stage, sizes_px: Sequence[int]) -> "Placement":
        height, width = stage.image.shape[:2]
        rows = []
        for size_px, ((rows_from, columns_from), (rows_to, columns_to)) in stage.windows.items():
            top, bottom, _ = rows_from.indices(height)
            left, right, _ = columns_from.indices(width)
            to_top, to_left = rows_to.indices(size_px)[0], columns_to.indices(size_px)[0]
            rows.append((sizes_px.index(size_px), top, left, to_top, to_left, bottom - top, right - left))
        return cls(stage.image, np.array(rows, np.int64))
