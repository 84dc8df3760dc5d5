"""Converts generated images to row groups of a part file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.store.cell_rows import binary_column
from pipelines.store.image_batches import GeneratedImages, SourceImages
from pipelines.store.schema import ChoiceStatistics, Split, parquet_schema
from pipelines.store.statistics import Tally

__all__ = ["ChoiceTally", "GeneratedRows", "choice_statistics"]


@dataclass
class ChoiceTally(Tally):
    """Sums over generated images that a classifier chose."""

    drawn: int = 0
    confident: int = 0

    def __iadd__(self, other: Tally) -> "ChoiceTally":
        super().__iadd__(other)
        assert isinstance(other, ChoiceTally)
        self.drawn += other.drawn
        self.confident += other.confident
        return self


def choice_statistics(tallies: Mapping[Split, Tally]) -> dict[Split, ChoiceStatistics] | None:
    """By split; None if no classifier chose the images."""
    found = {
        split: ChoiceStatistics(drawn=tally.drawn, confident=tally.confident)
        for split, tally in tallies.items()
        if isinstance(tally, ChoiceTally)
    }
    return found or None


class GeneratedRows(NamedTuple):
    """A row group of source images, and the generated images that take their places, with the same labels."""

    source: SourceImages
    images: GeneratedImages

    @classmethod
    def for_each(cls, source: SourceImages, made: Iterable[GeneratedImages]) -> "Iterator[GeneratedRows]":
        """One GeneratedRows for each item of `made`."""
        return (cls(source, images) for images in made)

    @property
    def size_px(self) -> int:
        return int(self.source.pixels.shape[1])

    @property
    def variant(self) -> str:
        return self.images.variant

    def to_row_group(self, rows: pa.Table, split: Split) -> tuple[pa.Table, Tally]:
        """The row group and its sums. snr_db is NaN, since a generated image is not a noisy version of the source image
        with its id."""
        ids, labels = self.source.image_ids, self.source.labels
        pixels = self.images.pixels.reshape(len(labels), -1)
        channels = self.images.pixels.shape[-1]
        chosen = self.images.chosen
        tally = (
            Tally(channels)
            if chosen is None
            else ChoiceTally(channels, drawn=int(chosen.draws.sum()), confident=int(chosen.confident.sum()))
        )
        nothing = np.full(len(labels), np.nan, np.float32)
        tally.add_with_snr(split, ids, labels.tolist(), pixels, nothing)
        groups = pa.array(self.source.groups, pa.string())
        columns = [pa.array(ids), pa.array(labels), groups, binary_column(pixels), pa.array(nothing)]
        return pa.table(columns, schema=parquet_schema(self.size_px, channels)), tally
