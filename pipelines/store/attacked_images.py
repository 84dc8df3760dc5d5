"""Converts adversarial images to row groups of a part file, and measures them against their source images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.store.cell_rows import binary_column
from pipelines.store.image_batches import AttackedImages, SourceImages
from pipelines.store.schema import DIGEST_MODULUS, MEASURED, AttackStatistics, Split, parquet_schema, row_digest
from pipelines.store.statistics import Decibels, Tally

__all__ = ["AttackTally", "AttackedRows", "attack_statistics"]


@dataclass
class AttackTally(Tally):
    """Sums over adversarial images, in fixed point: each row group is summed in float64 and then rounded, so that the
    total does not depend on the order of the row groups."""

    peak: ClassVar[int] = 2**16
    asked: Decibels = field(default_factory=Decibels)
    before_clamp: Decibels = field(default_factory=Decibels)
    uint8: Decibels = field(default_factory=Decibels)
    right_before: int = 0
    right_after: int = 0
    fooled: int = 0
    black: int = 0
    unchanged: int = 0

    def __iadd__(self, other: Tally) -> "AttackTally":
        super().__iadd__(other)
        assert isinstance(other, AttackTally)
        self.asked += other.asked
        self.before_clamp += other.before_clamp
        self.uint8 += other.uint8
        self.right_before += other.right_before
        self.right_after += other.right_after
        self.fooled += other.fooled
        self.black += other.black
        self.unchanged += other.unchanged
        return self

    def add_stored(
        self, split: str, ids: Sequence[str], labels: NDArray[np.int32], pixels: NDArray[np.float32],
        snr: NDArray[np.float32], measured: Mapping[str, NDArray[Any]],
    ) -> None:  # fmt: skip
        """Adds the columns of a row group: `pixels` (N, D), `measured` the columns of MEASURED."""
        self.labels.update(labels.tolist())
        self.values_per_channel += pixels.size // self.channels
        self.channel_sum += _fixed(_channel_sums(pixels, self.channels), self.peak)
        self.channel_square_sum += _fixed(_channel_sums(np.square(pixels), self.channels), self.peak**2)
        for row in zip(ids, labels, snr, pixels, *measured.values(), strict=True):
            self.digest = (self.digest + row_digest(split, *row)) % DIGEST_MODULUS
        self.snr.add(snr)
        if measured:
            self.asked.add(measured["snr_db_asked"])
            self.before_clamp.add(measured["snr_db_before_clamp"])
            self.uint8.add(measured["snr_db_uint8"])
            right_before = measured["prediction_before"] == labels
            right_after = measured["prediction_after"] == labels
            self.right_before += int(right_before.sum())
            self.right_after += int(right_after.sum())
            self.fooled += int((right_before & ~right_after).sum())

    def attack(self) -> AttackStatistics:
        return AttackStatistics(
            snr_db_asked=self.asked.spread().mean,
            snr_db_before_clamp=self.before_clamp.spread(),
            snr_db_uint8=self.uint8.spread(),
            right_before=self.right_before,
            right_after=self.right_after,
            fooled=self.fooled,
            success_rate=self.fooled / self.right_before if self.right_before else None,
            black=self.black,
            unchanged=self.unchanged,
        )


def attack_statistics(tallies: Mapping[Split, Tally]) -> dict[Split, AttackStatistics] | None:
    """The statistics of the attack by split; None if nothing was attacked."""
    found = {split: tally.attack() for split, tally in tallies.items() if isinstance(tally, AttackTally)}
    return found or None


class AttackedRows(NamedTuple):
    """A row group of source images, their pixels in [0, 1] and the ‖x‖² of each, and the adversarial images made from
    them."""

    source: SourceImages
    clean: NDArray[np.float32]
    signal: NDArray[np.float64]
    images: AttackedImages

    @classmethod
    def for_each(cls, source: SourceImages, made: Iterable[AttackedImages]) -> "Iterator[AttackedRows]":
        """One AttackedRows for each item of `made`."""
        clean = source.pixels.astype(np.float32) / np.float32(255)
        signal = _energies(clean)
        return (cls(source, clean, signal, images) for images in made)

    @property
    def size_px(self) -> int:
        return int(self.source.pixels.shape[1])

    @property
    def variant(self) -> str:
        return self.images.variant

    def to_row_group(self, rows: pa.Table, split: Split) -> tuple[pa.Table, AttackTally]:
        source, images = self.source, self.images
        measured = {name: getattr(images, name) for name in MEASURED}
        pixels = images.pixels.reshape(len(source.labels), -1)
        columns = [
            pa.array(source.image_ids), pa.array(source.labels), pa.array(source.groups, pa.string()),
            binary_column(pixels), pa.array(images.snr_db), *map(pa.array, measured.values()),
        ]  # fmt: skip
        noise = _energies(images.pixels - self.clean)
        channels = images.pixels.shape[-1]
        tally = AttackTally(
            channels,
            signal=int(_fixed(self.signal, AttackTally.peak**2).sum()),
            noise=int(_fixed(noise, AttackTally.peak**2).sum()),
            black=int((self.signal == 0).sum()),
            unchanged=int(((noise == 0) & (self.signal > 0)).sum()),
        )
        tally.add_stored(split, source.image_ids, source.labels, pixels, images.snr_db, measured)
        return pa.table(columns, schema=parquet_schema(self.size_px, channels, "float32", attacked=True)), tally


def _energies(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """‖x‖² of each image."""
    values = images.reshape(len(images), -1)
    energies: NDArray[np.float64] = np.einsum("ij,ij->i", values, values).astype(np.float64)  # one pass, no copy
    return energies


def _channel_sums(values: NDArray[np.float32], channels: int) -> NDArray[np.float64]:
    # sum over images first, since that loop runs over contiguous values
    by_value: NDArray[np.float64] = values.reshape(len(values), -1).sum(axis=0, dtype=np.float64)
    sums: NDArray[np.float64] = by_value.reshape(-1, channels).sum(axis=0)
    return sums


def _fixed(values: NDArray[np.float64], one: int) -> NDArray[np.uint64]:
    fixed: NDArray[np.uint64] = np.rint(values * one).astype(np.uint64)
    return fixed
