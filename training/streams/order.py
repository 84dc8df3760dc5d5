"""The order of images: a function of the dataset, the seed and the epoch alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Integers", "Share", "Slot", "Window", "assign_variants", "generator", "plan_epoch"]

Integers = NDArray[np.int64]


class Slot(NamedTuple):
    """A row group, and the variant in which an epoch shows it."""

    variant: str
    row_group: int


@dataclass(frozen=True)
class Window:
    """Row groups that are read one after the other and whose rows are mixed: row order[i] of the joined row groups is
    row start + i of the epoch. `bounds` are the offsets of the row groups in the joined rows, and the end of the last
    one."""

    start: int
    slots: tuple[Slot, ...]
    bounds: Integers
    order: Integers

    @property
    def end(self) -> int:
        return self.start + len(self.order)


@dataclass(frozen=True)
class Share:
    """Which rows of an epoch one rank takes in one step.

    A global batch has world_size · batch_size rows; rank r takes the r-th run of batch_size rows, so that all ranks
    together see the same images as one rank with the joint batch size. All ranks have the same number of steps: the
    last global batch is padded by repeating its own rows, and the padding is not valid."""

    rank: int
    world_size: int
    batch_size: int

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not 0 <= self.rank < self.world_size:
            raise ValueError(f"expected batch_size ≥ 1 and 0 ≤ rank < world_size, got {self}")

    @property
    def global_batch_size(self) -> int:
        return self.world_size * self.batch_size

    def steps(self, rows: int) -> int:
        return -(-rows // self.global_batch_size)

    def start(self, step: int) -> int:
        """The first row of the global batch."""
        return step * self.global_batch_size

    def valid(self, step: int, rows: int) -> int:
        """The number of rows of the global batch that are not padding."""
        return min(self.global_batch_size, rows - self.start(step))

    def own_valid(self, step: int, rows: int) -> int:
        """The number of this rank's rows that are not padding; they come first."""
        return min(max(self.valid(step, rows) - self.rank * self.batch_size, 0), self.batch_size)

    def without_padding(self, step: int, rows: int) -> slice:
        """The rows of this rank that may enter batch statistics: those that are not padding, but at least two, since a
        variance needs two."""
        return slice(max(self.own_valid(step, rows), min(2, self.batch_size)))

    def rows(self, step: int, rows: int) -> tuple[Integers, NDArray[np.bool_]]:
        """This rank's rows of a step in an epoch of `rows` rows, and which of them are not padding."""
        start = self.start(step)
        own = start + self.rank * self.batch_size + np.arange(self.batch_size, dtype=np.int64)
        return np.where(own < rows, own, start + (own - start) % (rows - start)), own < rows

    def wanted(self, start_step: int, rows: int) -> Integers:
        """All rows that this rank takes from step `start_step` on, in ascending order."""
        every = np.arange(self.start(start_step), rows, dtype=np.int64)
        own = every[every // self.batch_size % self.world_size == self.rank]
        last = self.steps(rows) - 1
        before = own[: np.searchsorted(own, self.start(last))]
        return np.concatenate([before, np.unique(self.rows(last, rows)[0])])


def generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, epoch]))


def assign_variants(weights: Sequence[float], places: int, random: np.random.Generator) -> Integers:
    """A variant for each of `places` row groups (or images), as an index into `weights`, which sum to 1.

    Each variant gets weight · places of them, randomly rounded up or down so that its share is right on average over
    the epochs (systematic sampling). Rounding to the nearest would never show a variant of small weight."""
    shuffled = random.permutation(len(weights))
    ends = np.cumsum(np.array(weights)[shuffled]) * places + random.uniform()
    counts = np.minimum(ends, places).astype(np.int64)
    counts[-1] = places
    variants: Integers = random.permutation(np.repeat(shuffled, np.diff(counts, prepend=0)))
    return variants


def plan_epoch(
    rows: Sequence[int], weights: Mapping[str, float], seed: int, epoch: int, window_row_groups: int
) -> list[Window]:
    """The windows of an epoch over row groups of `rows` rows each."""
    random = generator(seed, epoch)
    names = sorted(weights)
    variants = assign_variants([weights[name] for name in names], len(rows), random)
    sequence = [Slot(names[variants[group]], int(group)) for group in random.permutation(len(rows))]
    windows: list[Window] = []
    start = 0
    for first in range(0, len(sequence), window_row_groups):
        slots = tuple(sequence[first : first + window_row_groups])
        bounds = np.cumsum([0, *(rows[slot.row_group] for slot in slots)], dtype=np.int64)
        windows.append(Window(start, slots, bounds, random.permutation(int(bounds[-1]))))
        start += int(bounds[-1])
    return windows
