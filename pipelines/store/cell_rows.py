"""Converts images of one size and variant to row groups of a part file."""

from typing import Any, NamedTuple, Protocol

import pyarrow as pa
from numpy.typing import NDArray

from pipelines.store.schema import Split, parquet_schema
from pipelines.store.statistics import ChannelSums, Energies, Pixels, Tally

__all__ = ["CellRows", "NoisyRows", "binary_column"]


class CellRows(Protocol):
    """One row group of a part file."""

    @property
    def size_px(self) -> int: ...

    @property
    def variant(self) -> str: ...

    def to_row_group(self, rows: pa.Table, split: Split) -> tuple[pa.Table, Tally]:
        """The row group and its sums; `rows` are the frame's rows that it was made from."""


class NoisyRows(NamedTuple):
    """N images of one size and variant: pixels (N, size_px² · channels), ‖clean‖² and ‖noisy − clean‖² of each (N,),
    and their sums, if they are known."""

    size_px: int
    variant: str
    pixels: Pixels
    signal: Energies
    noise: Energies
    sums: ChannelSums | None = None

    def to_row_group(self, rows: pa.Table, split: Split) -> tuple[pa.Table, Tally]:
        channels = self.pixels.shape[1] // self.size_px**2
        tally = Tally(channels)
        ids, labels = rows["image_id"].to_pylist(), rows["label"].to_pylist()
        snr = tally.add(split, ids, labels, self.pixels, self.signal, self.noise, self.sums)
        groups = pa.array(rows["group"].to_pylist(), pa.string())
        columns = [pa.array(ids), pa.array(labels, pa.int32()), groups, binary_column(self.pixels), pa.array(snr)]
        return pa.table(columns, schema=parquet_schema(self.size_px, channels)), tally


def binary_column(pixels: NDArray[Any]) -> pa.Array:
    """(N, …) pixels as a column of N binary values, without a copy."""
    size = pixels[:1].nbytes
    offsets = pa.array(range(0, pixels.nbytes + 1, size), pa.int32())
    return pa.BinaryArray.from_buffers(pa.binary(), len(pixels), [None, offsets.buffers()[1], pa.py_buffer(pixels)])
