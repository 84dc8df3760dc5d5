"""Exact sums over images, and the statistics computed from them. The sums are integers, so they do not depend on the
order of summation."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.store.schema import DIGEST_MODULUS, Spread, VariantStatistics, row_digest

__all__ = [
    "ChannelSums",
    "Decibels",
    "Energies",
    "Pixels",
    "Tally",
    "channel_sums",
    "difference_energy",
    "energy",
    "snr_db",
]

Pixels = NDArray[np.uint8]
"""(N, D): the D = size_px × size_px × channels values of N images."""
Energies = NDArray[np.uint64]
"""(N,): sums of squared grey levels."""
ChannelSums = NDArray[np.uint64]
"""(2, channels): sums of x and of x² over images and positions."""

CACHE_BYTES = 2**18


def energy(pixels: Pixels) -> Energies:
    """‖x‖² of each image."""
    squares = (np.multiply(some, some, dtype=np.uint16) for some in _in_cache(pixels))
    return np.concatenate([_row_sums(some) for some in squares])


def difference_energy(pixels: Pixels, others: Pixels) -> Energies:
    """‖x − y‖² of each pair of images."""
    sums = []
    for some, other in zip(_in_cache(pixels), _in_cache(others), strict=True):
        difference = np.subtract(some, other, dtype=np.int16)
        np.multiply(difference, difference, out=difference)
        # 255² does not fit int16 but its low 16 bits are right, so the view as uint16 is exact
        sums.append(_row_sums(difference.view(np.uint16)))
    return np.concatenate(sums)


def _in_cache(pixels: Pixels) -> Iterator[Pixels]:
    """Splits images into slices that fit in a core's cache during several operations."""
    images = max(1, CACHE_BYTES // pixels.shape[1])
    return (pixels[start : start + images] for start in range(0, len(pixels), images))


def _row_sums(squares: NDArray[np.uint16]) -> Energies:
    fits = squares.shape[1] * 255**2 < 2**32
    sums: Energies = squares.sum(axis=1, dtype=np.uint32 if fits else np.uint64).astype(np.uint64)
    return sums


def snr_db(signal: Energies, noise: Energies) -> NDArray[np.float32]:
    """10 log₁₀(‖x‖² / ‖x' − x‖²), the signal-to-noise ratio of each image (Parseval report, equation 2, squared norms).

    +inf for an unchanged image; −inf if the clean image is all black.
    """
    ratio = np.full(len(signal), np.inf)
    with np.errstate(divide="ignore"):
        np.divide(signal, noise, out=ratio, where=noise > 0)
        decibels: NDArray[np.float32] = (10 * np.log10(ratio)).astype(np.float32)
    return decibels


@dataclass
class Decibels:
    """Sums over the ratios of images; `+=` adds those of other images. Undefined ratios are left out."""

    finite: int = 0
    infinite: int = 0
    micro_db: int = 0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, values: NDArray[np.floating]) -> None:
        finite = values[np.isfinite(values)].astype(np.float64)
        self.finite += len(finite)
        self.infinite += int(np.isposinf(values).sum())
        self.micro_db += int(np.rint(finite * 1e6).sum())
        if len(finite):
            self.low, self.high = min(self.low, finite.min()), max(self.high, finite.max())

    def __iadd__(self, other: "Decibels") -> "Decibels":
        self.finite += other.finite
        self.infinite += other.infinite
        self.micro_db += other.micro_db
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        return self

    def spread(self) -> Spread:
        if not self.finite:
            return Spread(mean=None, min=None, max=None, infinite=self.infinite)
        return Spread(mean=self.micro_db / 1e6 / self.finite, min=self.low, max=self.high, infinite=self.infinite)


@dataclass
class Tally:
    """Sums over the images of one variant in one split; `+=` adds the tally of other images.

    `peak` is the value of white in the sums; energies are in units of the squared values."""

    peak: ClassVar[int] = 255
    channels: int
    labels: Counter[int] = field(default_factory=Counter)
    values_per_channel: int = 0
    channel_sum: NDArray[np.uint64] = field(init=False)
    channel_square_sum: NDArray[np.uint64] = field(init=False)
    signal: int = 0
    noise: int = 0
    snr: Decibels = field(default_factory=Decibels)
    digest: int = 0

    def __post_init__(self) -> None:
        self.channel_sum, self.channel_square_sum = np.zeros((2, self.channels), np.uint64)

    def add(
        self, split: str, ids: Sequence[str], labels: Sequence[int], pixels: Pixels, signal: Energies, noise: Energies,
        sums: ChannelSums | None = None,
    ) -> NDArray[np.float32]:  # fmt: skip
        """Adds N images; returns their snr_db. `sums` are theirs, if they are known."""
        snr = snr_db(signal, noise)
        self.signal += int(signal.sum())
        self.noise += int(noise.sum())
        self.add_with_snr(split, ids, labels, pixels, snr, sums)
        return snr

    def add_with_snr(
        self, split: str, ids: Sequence[str], labels: Sequence[int], pixels: Pixels, snr: NDArray[np.float32],
        sums: ChannelSums | None = None,
    ) -> None:  # fmt: skip
        """Adds N images whose snr_db is given; it may be NaN."""
        self.labels.update(labels)
        self.values_per_channel += pixels.size // self.channels
        sum_, square_sum = channel_sums(pixels, self.channels) if sums is None else sums
        self.channel_sum += sum_
        self.channel_square_sum += square_sum
        self.snr.add(snr)
        for row in zip(ids, labels, snr, pixels, strict=True):
            self.digest = (self.digest + row_digest(split, *row)) % DIGEST_MODULUS

    def __iadd__(self, other: "Tally") -> "Tally":
        self.labels += other.labels
        self.values_per_channel += other.values_per_channel
        self.channel_sum += other.channel_sum
        self.channel_square_sum += other.channel_square_sum
        self.signal += other.signal
        self.noise += other.noise
        self.snr += other.snr
        self.digest = (self.digest + other.digest) % DIGEST_MODULUS
        return self

    @property
    def images(self) -> int:
        return self.labels.total()

    def statistics(self) -> VariantStatistics:
        """The statistics in the units of the manifest: channels in [0, 1], ratios in dB."""
        mean = self.channel_sum / max(1, self.values_per_channel) / self.peak
        variance = self.channel_square_sum / max(1, self.values_per_channel) / self.peak**2 - mean**2
        std = np.sqrt(np.maximum(0, variance))
        peak = self.peak**2 * self.channels * self.values_per_channel
        snr = self.snr.spread()
        return VariantStatistics(
            channel_mean=tuple(mean.tolist()),
            channel_std=tuple(std.tolist()),
            snr_db=_ratio_db(self.signal, self.noise),
            psnr_db=_ratio_db(peak, self.noise),
            snr_db_mean=snr.mean,
            snr_db_min=snr.min,
            snr_db_max=snr.max,
            snr_db_infinite=snr.infinite,
        )


def channel_sums(pixels: Pixels, channels: int) -> ChannelSums:
    """Sums of x and x² over images and positions, per channel."""
    # sum over images first, since that loop runs over contiguous values; 2³² / 255² = 66,051 images fit
    sums, square_sums = np.zeros((2, pixels.shape[1]), np.uint32)
    for some in _in_cache(pixels):
        sums += some.sum(axis=0, dtype=np.uint32)
        square_sums += np.multiply(some, some, dtype=np.uint16).sum(axis=0, dtype=np.uint32)
    return np.stack([values.reshape(-1, channels).sum(axis=0, dtype=np.uint64) for values in (sums, square_sums)])


def _ratio_db(power: int, noise: int) -> float | None:
    return float(10 * np.log10(power / noise)) if power and noise else None
