"""A window's rows in the order of the epoch."""

import numpy as np

from training.order import Integers, Window
from training.row_groups import Rows

__all__ = ["MixedWindow"]


class MixedWindow:
    """The rows of a window that one rank wants, each copied once, when its row group comes, to where the epoch has it.

    So the batches are slices, and what is copied is copied while the next row groups are being read."""

    def __init__(self, window: Window, wanted: Integers, size_px: int, pixel_dtype: str) -> None:
        """`wanted` are rows of the epoch in ascending order; those outside of the window are somebody else's."""
        self.start, self.end = window.start, window.end
        first, last = np.searchsorted(wanted, [self.start, self.end])
        self._wanted = wanted[first:last]
        place = np.full(len(window.order), -1, np.int64)
        place[self._wanted - self.start] = np.arange(len(self._wanted))
        self._bounds = window.bounds
        self._to = np.empty_like(place)
        """Where each row of the joined row groups goes; -1 where it is not wanted."""
        self._to[window.order] = place
        shape = (len(self._wanted), size_px, size_px, 3)
        images = np.empty(shape, np.uint8) if pixel_dtype == "uint8" else np.empty(shape, np.float32)
        self._rows = Rows(np.empty(len(self._wanted), np.object_), np.empty(len(self._wanted), np.int64), images)

    def add(self, number: int, rows: Rows) -> None:
        """Takes what it wants of the window's row group `number`."""
        to = self._to[self._bounds[number] : self._bounds[number + 1]]
        here = to >= 0
        if not here.all():
            to, rows = to[here], rows.at(here)
        self._rows.image_ids[to] = rows.image_ids
        self._rows.labels[to] = rows.labels
        self._rows.images[to] = rows.images

    def take(self, rows: Integers) -> Rows:
        """Wanted rows of the window: a view of the window where they follow one another, else a copy."""
        at = np.searchsorted(self._wanted, rows)
        if len(at) and (np.diff(at) == 1).all():
            return self._rows.at(slice(at[0], at[-1] + 1))
        return self._rows.at(at)
