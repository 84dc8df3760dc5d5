"""Generated images on their way into a part file."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.store.cell_rows import binary_column
from pipelines.store.schema import GeneratedImages, SourceImages, Split, parquet_schema
from pipelines.store.statistics import Tally

__all__ = ["GeneratedRows"]


class GeneratedRows(NamedTuple):
    """A row group of source images, and those that a generator has put in their places, under the same labels."""

    source: SourceImages
    images: GeneratedImages

    @classmethod
    def each(cls, source: SourceImages, made: Iterable[GeneratedImages]) -> "Iterator[GeneratedRows]":
        """One for each of `made`."""
        return (cls(source, images) for images in made)

    @property
    def size_px(self) -> int:
        return int(self.source.pixels.shape[1])

    @property
    def variant(self) -> str:
        return self.images.variant

    def counted(self, rows: pa.Table, split: Split) -> tuple[pa.Table, Tally]:
        """snr_db is NaN: a generated image is no noisy version of the image whose place it has."""
        ids, labels = self.source.image_ids, self.source.labels
        pixels = self.images.pixels.reshape(len(labels), -1)
        channels = self.images.pixels.shape[-1]
        tally = Tally(channels)
        nothing = np.full(len(labels), np.nan, np.float32)
        tally.add_with_snr(split, ids, labels.tolist(), pixels, nothing)
        groups = pa.array(self.source.groups, pa.string())
        columns = [pa.array(ids), pa.array(labels), groups, binary_column(pixels), pa.array(nothing)]
        return pa.table(columns, schema=parquet_schema(self.size_px, channels)), tally
