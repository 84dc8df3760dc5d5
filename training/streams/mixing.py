"""The rows of a window in the order of the epoch."""

import weakref
from math import prod

import numpy as np
from numpy.typing import NDArray

from training.streams.order import Integers, Window
from training.streams.row_groups import Rows

__all__ = ["Memory", "MixedWindow"]

SPARE = 3
"""The number of windows that a stream and the users of its batches usually refer to at a time."""


class Memory:
    """Arrays whose memory is reused once nothing, including batches, refers to them any more.

    Reason: touching fresh memory for the first time takes about as long as copying the images of a window into it."""

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def empty(self, shape: tuple[int, ...], dtype: str) -> NDArray[np.uint8]:
        size = prod(shape) * np.dtype(dtype).itemsize
        memory = bytearray()
        while self._free and len(memory) < size:
            memory = self._free.pop()
        if len(memory) < size:
            memory = bytearray(size)
        owner = np.frombuffer(memory, np.uint8)  # the base of all its views, and of theirs
        weakref.finalize(owner, self._give_back, memory).atexit = False
        return owner[:size].view(dtype).reshape(shape)

    def _give_back(self, memory: bytearray) -> None:
        if len(self._free) < SPARE:
            self._free.append(memory)


class MixedWindow:
    """The rows of a window that one rank wants. Each is copied once, when its row group arrives, to its position in the
    epoch.

    So batches are slices, and rows are copied while the next row groups are being read."""

    def __init__(
        self, window: Window, wanted: Integers, image_shape: tuple[int, int, int], pixel_dtype: str, memory: Memory
    ) -> None:
        """`wanted` are rows of the epoch in ascending order; rows outside of the window are ignored."""
        self.start, self.end = window.start, window.end
        first, last = np.searchsorted(wanted, [self.start, self.end])
        self._wanted = wanted[first:last]
        place = np.full(len(window.order), -1, np.int64)
        place[self._wanted - self.start] = np.arange(len(self._wanted))
        self._bounds = window.bounds
        self._to = np.empty_like(place)
        """The target position of each row of the joined row groups; -1 if it is not wanted."""
        self._to[window.order] = place
        images = memory.empty((len(self._wanted), *image_shape), pixel_dtype)
        self._rows = Rows(np.empty(len(self._wanted), np.object_), np.empty(len(self._wanted), np.int64), images)

    def add(self, number: int, rows: Rows) -> None:
        """Copies the wanted rows of row group `number` of the window."""
        to = self._to[self._bounds[number] : self._bounds[number + 1]]
        here = to >= 0
        if not here.all():
            to, rows = to[here], rows.at(here)
        self._rows.image_ids[to] = rows.image_ids
        self._rows.labels[to] = rows.labels
        self._rows.images[to] = rows.images

    def take(self, rows: Integers) -> Rows:
        """Wanted rows of the window: a view if they are consecutive, else a copy."""
        at = np.searchsorted(self._wanted, rows)
        if len(at) and (np.diff(at) == 1).all():
            return self._rows.at(slice(at[0], at[-1] + 1))
        return self._rows.at(at)
