"""Writes one Parquet file of a dataset."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.store.schema import RUN_ID, Cell, Part, Split

__all__ = ["PartFile", "by_part", "number_of"]

ZSTD_LEVEL = -20
"""Takes 38 % off noisy images of GTSRB in hardly more time than no compression; level -5 takes 41 % off in 1.4 times
that time."""


class PartFile:
    """One Parquet file being written. It creates no folders: if `attempt` is missing, the run has ended."""

    def __init__(self, attempt: Path, cell: Cell, channels: int, split: Split, number: int, compression: str) -> None:
        self.split = split
        self.name = f"split={split}/part-{number:05d}.parquet"
        self.path = attempt / f"{cell.size_px}-{cell.variant}-{split}-{number:05d}.parquet"
        self.rows = 0
        self.writer = pq.ParquetWriter(
            self.path,
            cell.schema(channels),
            compression=compression,
            compression_level=ZSTD_LEVEL if compression == "zstd" else None,
            use_dictionary=False,
            write_statistics=["image_id", "label"],
            write_page_checksum=True,
        )

    def __enter__(self) -> "PartFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def write(self, row_group: pa.Table) -> None:
        self.writer.write_table(row_group, row_group_size=len(row_group))
        self.rows += len(row_group)

    def part(self) -> Part:
        return Part(path=self.name, split=self.split, rows=self.rows, bytes=self.path.stat().st_size)


def number_of(path: str) -> int:
    """The number in the name of a part file, on a disk or in an object store."""
    return int(Path(RUN_ID.sub("", path)).stem.rpartition("-")[2])


def by_part(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yields the rows of each part, from batches sorted by part."""
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        parts = batch["part"].to_numpy()
        start = 0
        while start < len(parts):
            if pending and pending[-1]["part"][0] != batch["part"][start]:
                yield pa.Table.from_batches(pending)
                pending = []
            length = int((parts[start:] == parts[start]).sum())
            pending.append(batch.slice(start, length))
            start += length
    if pending:
        yield pa.Table.from_batches(pending)
